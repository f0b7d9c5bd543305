//! What the header promises: that it is the generated one, that compilers take it, that its functions and numbers are
//! the library's, and that a C program which breaks every rule of it meets an error and nothing worse.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandport::Code;

const HEADER: &str = include_str!("../include/sandport.h");
const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/sandport.h"));

/// Entries that WebAssembly runtimes look up; no part of the header.
const PLUGIN_ENTRIES: [&str; 4] =
    ["WasmEdge_Plugin_GetDescriptor", "get_native_lib", "init_native_lib", "deinit_native_lib"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A state directory of a test's own, made anew.
fn state_dir(name: &str) -> PathBuf {
    let folder = scratch().join(format!("state-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// The folder of this build's libraries: the test's own. One level up is whatever was built last for somebody else.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    assert!(folder.join("libsandport.so").exists(), "the shared library is built beside the tests");
    folder.to_owned()
}

fn run(command: &mut Command) -> Output {
    let output = command
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot run: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Compiles a C or C++ program of this repository against the header and the shared library, with every warning an error.
fn compile(source: &str, name: &str) -> PathBuf {
    let libraries = libraries();
    // A program looks for the library by its SONAME, which an installation links to it.
    // Renamed into place, since other tests may start a program right now.
    let fresh = scratch().join(format!("{name}.link"));
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(libraries.join("libsandport.so"), &fresh).unwrap();
    std::fs::rename(&fresh, scratch().join("libsandport.so.0")).unwrap();
    let program = scratch().join(name);
    let (compiler, version) =
        if source.ends_with(".cc") { ("c++", "-std=c++17") } else { ("cc", "-std=c11") };
    run(Command::new(compiler)
        .args([version, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread"])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(source))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(&libraries)
        .arg("-lsandport")
        .arg(format!("-Wl,-rpath,{}", scratch().display())));
    program
}

/// The names of the functions that the header declares.
fn declared() -> BTreeSet<String> {
    HEADER
        .lines()
        .filter(|line| !line.starts_with([' ', '*', '/', '#', '}']) && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_committed_header_is_the_generated_one() {
    assert!(
        HEADER == GENERATED,
        "include/sandport.h is not what src/capi says; run SANDPORT_UPDATE_HEADER=1 cargo build, and review the change"
    );
}

#[test]
fn compilers_take_the_header_alone_in_every_language_version() {
    for (compiler, language, version) in [
        ("cc", "c", "c99"),
        ("cc", "c", "c11"),
        ("cc", "c", "c17"),
        ("cc", "c", "c2x"),
        ("c++", "c++", "c++17"),
        ("c++", "c++", "c++20"),
    ] {
        run(Command::new(compiler)
            .args(["-x", language, &format!("-std={version}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .arg("-fsyntax-only")
            .arg("-include")
            .arg(root().join("include/sandport.h"))
            .arg("/dev/null"));
    }
}

#[test]
fn the_library_exports_the_header_s_functions_and_nothing_else() {
    let names = run(Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(libraries().join("libsandport.so")));
    let exported: BTreeSet<_> = String::from_utf8(names.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !PLUGIN_ENTRIES.contains(name))
        .map(str::to_owned)
        .collect();
    assert_eq!(exported, declared());
}

#[test]
fn the_library_has_its_versioned_name_and_stays_loaded() {
    let dynamic = run(Command::new("readelf").arg("-d").arg(libraries().join("libsandport.so")));
    let dynamic = String::from_utf8(dynamic.stdout).unwrap();
    assert!(dynamic.contains("Library soname: [libsandport.so.0]"), "{dynamic}");
    assert!(dynamic.lines().any(|line| line.contains("FLAGS_1") && line.contains("NODELETE")), "{dynamic}");
}

#[test]
fn the_header_s_statuses_are_the_codes() {
    let statuses: BTreeSet<_> = HEADER
        .lines()
        .filter_map(|line| line.strip_prefix("#define SANDPORT_"))
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| !name.starts_with("OP_") && *name != "ABI_VERSION")
        .map(|(name, number)| (number.parse::<i32>().unwrap(), name.to_ascii_lowercase()))
        .collect();
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| (*code as i32, code.word().to_owned())).collect();
    assert_eq!(statuses, codes.into_iter().chain([(0, "ok".to_owned())]).collect());
}

#[test]
fn the_header_s_operations_are_the_crate_s() {
    let operations: Vec<_> = HEADER
        .lines()
        .filter_map(|line| line.strip_prefix("#define SANDPORT_OP_"))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, number)| (number.parse::<u32>().unwrap(), name.to_ascii_lowercase()))
        .collect();
    let ours: Vec<_> = sandport::Operation::ALL
        .iter()
        .map(|operation| (*operation as u32, operation.word().to_owned()))
        .collect();
    assert_eq!(operations, ours);
}

#[test]
fn every_function_says_since_when_it_is_there_and_who_may_call_it() {
    let mut comment = String::new();
    let mut seen = 0;
    for line in HEADER.lines().skip_while(|line| !line.starts_with("extern")) {
        if line.starts_with("/**") {
            comment.clear();
        }
        comment.push_str(line);
        if line.contains("sandport_") && line.contains('(') && !line.starts_with(" *") {
            assert!(comment.contains("\\since ") && comment.contains("Thread-safe."), "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, declared().len());
}

#[test]
fn a_c_program_that_breaks_every_rule_meets_errors_and_nothing_worse() {
    run(&mut Command::new(compile("tests/c/rules.c", "rules")));
}

/// Runs a program under valgrind, which finds no error in it and no leak.
fn checked(program: PathBuf) {
    run(Command::new("valgrind")
        .args([
            "--error-exitcode=9",
            "--leak-check=full",
            "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect",
        ])
        .args(["--fair-sched=yes", "--quiet"])
        .arg(program));
}

#[test]
fn no_string_and_no_byte_is_lost_or_misused() {
    checked(compile("tests/c/rules.c", "rules-checked"));
}

#[test]
fn two_hundred_calls_in_flight_are_closed_in_every_order() {
    let program = compile("tests/c/calls.c", "calls");
    run(&mut Command::new(&program));
    checked(program);
}

#[test]
fn a_forked_child_has_no_handles_and_none_of_our_descriptors() {
    run(&mut Command::new(compile("tests/c/fork.c", "fork")));
}

#[test]
fn a_host_without_threads_or_descriptors_left_is_told_so() {
    run(&mut Command::new(compile("tests/c/limits.c", "limits")));
}

#[test]
fn the_environment_turns_the_log_on_for_parent_and_children() {
    let log = scratch().join("environment.log");
    let _ = std::fs::remove_file(&log);
    run(Command::new(compile("tests/c/fork.c", "fork-logged"))
        .env("SANDPORT_LOG", "debug")
        .env("SANDPORT_LOG_FILE", &log));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() > 100, "{text}");
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["time"].is_number() && line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    run(Command::new(compile("tests/c/owner.cc", "owner-unlogged"))
        .env("SANDPORT_LOG", "debug")
        .env("SANDPORT_LOG_FILE", "/nonexistent/folder/log")
        .env("SANDPORT_STATE_DIR", state_dir("unlogged")));
}

#[test]
fn a_cpp_program_owns_what_it_is_given() {
    run(Command::new(compile("tests/c/owner.cc", "owner")).env("SANDPORT_STATE_DIR", state_dir("owner")));
}

#[test]
fn the_examples_compile_without_a_warning() {
    compile("examples/c/lifecycle.c", "lifecycle");
    compile("examples/c/eight.c", "eight");
}
