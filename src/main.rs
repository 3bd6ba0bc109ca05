//! The `secretwatch` program. All of it is in the library, where it can be tested.

fn main() -> secretwatch::cli::Exit {
    secretwatch::cli::main()
}
