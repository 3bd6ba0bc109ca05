//! The `secretwatch` program.

fn main() {}
