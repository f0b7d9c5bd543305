//! A second Rust static library in one C program.

/// Adds, with enough of the standard library that its symbols are really there.
#[unsafe(no_mangle)]
pub extern "C" fn beside_add(one: i32, two: i32) -> i32 {
    let text = format!("{}", one + two);
    std::panic::catch_unwind(|| text.parse().unwrap_or(0)).unwrap_or(0)
}
