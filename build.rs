//! Generates the C header and says how the shared library is linked.
//!
//! The header goes to `OUT_DIR`, where a test compares it with the committed one. `SANDPORT_UPDATE_HEADER=1 cargo
//! build` writes `include/sandport.h` instead of comparing.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What the header is made of, in the order in which a reader wants it.
const SOURCES: [&str; 7] = [
    "src/capi/numbers.rs",
    "src/capi/library.rs",
    "src/capi/backends.rs",
    "src/capi/blocking.rs",
    "src/capi/calls.rs",
    "src/capi/queues.rs",
    "src/capi/guests.rs",
];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SANDPORT_UPDATE_HEADER");

    let header = header(&root);
    fs::write(out.join("sandport.h"), &header).expect("OUT_DIR can be written to");
    if env::var_os("SANDPORT_UPDATE_HEADER").is_some_and(|value| value == "1") {
        fs::write(root.join("include/sandport.h"), &header).expect("include can be written to");
    }
    link();
}

fn header(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let sources = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, source| {
        builder.with_src(root.join(source))
    });
    let mut text = Vec::new();
    sources.generate().expect("the header can be generated").write(&mut text);
    let text = String::from_utf8(text).expect("cbindgen writes UTF-8");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn link() {
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux" || os == "android");
    if linux {
        // Node and others unload a library while its threads run; so it stays.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // cargo-c, which the feature stands for, sets a versioned name by itself.
        if env::var_os("CARGO_FEATURE_CAPI").is_none() {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsandport.so.0");
        }
    }
}
