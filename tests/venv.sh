# Sourced by scripts that run programs from PyPI.
#
#   venv FOLDER REQUIREMENTS   makes a virtual environment in FOLDER with what REQUIREMENTS lists, unless it is there

venv() {
    local folder="$1" wanted="$2"
    cmp -s "$wanted" "$folder/installed.txt" && return
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$folder/installed.txt"
}
