//! Decompression alone: what `replay` is measured against. Reads the gzip files in and below the folders that it is
//! given, one after the other into the same space, by as many threads as `--jobs` says, and prints how much text that
//! was. `benches/replay/run.sh` runs it beside the program.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libdeflater::Decompressor;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (mut jobs, mut open) = (1, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--jobs" => jobs = args.next().and_then(|jobs| jobs.parse().ok()).unwrap_or(1),
            _ => open.push(PathBuf::from(arg)),
        }
    }
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let (mut decompressor, mut text) = (Decompressor::new(), Vec::new());
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    bytes.fetch_add(inflated(&mut decompressor, &mut text, path), Ordering::Relaxed);
                }
            });
        }
    });
    println!("{}", bytes.into_inner());
    Ok(())
}

/// How much text there is in the file at `path`; it has to be one undamaged gzip member.
fn inflated(decompressor: &mut Decompressor, text: &mut Vec<u8>, path: &PathBuf) -> u64 {
    let zip = fs::read(path).expect("a file that can be read");
    let length = zip.last_chunk().map_or(0, |length| u32::from_le_bytes(*length)) as usize;
    if text.len() < length {
        text.resize(length, 0);
    }
    decompressor.gzip_decompress(&zip, &mut text[..length]).expect("an undamaged gzip file") as u64
}
