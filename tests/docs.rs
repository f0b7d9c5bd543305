//! The documents say what is there: their C compiles, their JSON parses, what they name exists.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandport::{Backend, Code, Operation};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every document, by its path below the root.
fn documents() -> Vec<String> {
    let mut names: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned).into();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    assert!(names.len() >= 9, "{names:?}");
    names
}

/// The fenced blocks of one language, each with where it stands.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in documents() {
        let mut open: Option<(String, String)> = None;
        for (number, line) in read(&name).lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(word)) => {
                    // A block of another language is followed to its end too.
                    open = Some((format!("{name}:{} {word}", number + 1), String::new()));
                }
                (Some(_), Some(_)) => found.extend(open.take()),
                (Some((_, text)), None) => writeln!(text, "{line}").unwrap(),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a block is not closed");
    }
    found.retain(|(place, _)| place.ends_with(&format!(" {language}")));
    assert!(!found.is_empty(), "no block of {language}");
    found
}

#[test]
fn every_c_block_compiles_without_a_warning() {
    let folder = std::env::temp_dir().join(format!("sandport-docs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (number, (place, text)) in blocks("c").into_iter().enumerate() {
        let file = folder.join(format!("{number}.c"));
        // A block that is no file of its own is a function or more; the usual headers stand before it.
        let head = if text.contains("#include") {
            ""
        } else {
            "#include <sandport.h>\n#include <poll.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
        };
        std::fs::write(&file, format!("{head}{text}")).unwrap();
        let output = Command::new("cc")
            .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
            .arg("-Wno-unused-function")
            .arg("-I")
            .arg(root().join("include"))
            .arg(&file)
            .output()
            .expect("a C compiler");
        assert!(output.status.success(), "{place}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_json_block_parses() {
    for (place, text) in blocks("json") {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
            panic!("{place}: {error}");
        }
    }
}

#[test]
fn every_code_stands_in_the_list_of_errors_with_its_number() {
    let text = read("docs/api.md");
    for code in Code::ALL {
        let row = format!("| {} | `{}` |", code as i32, code.word());
        assert!(text.contains(&row), "docs/api.md lacks {row}");
    }
}

#[test]
fn every_operation_stands_in_the_abi_document_with_its_number() {
    let text = read("docs/abi.md");
    for operation in Operation::ALL {
        let cell = format!("| {} | `SANDPORT_OP_{}` |", operation as u32, operation.word().to_uppercase());
        assert!(text.contains(&cell), "docs/abi.md lacks {cell}");
    }
}

#[test]
fn every_exported_function_stands_in_the_abi_document() {
    let text: String = documents().iter().map(|name| read(name)).collect();
    let header = read("include/sandport.h");
    let mut count = 0;
    for (at, _) in header.match_indices("sandport_") {
        let word: String =
            header[at..].chars().take_while(|part| part.is_ascii_alphanumeric() || *part == '_').collect();
        if header[at + word.len()..].starts_with('(') {
            count += 1;
            assert!(text.contains(&word), "no document names {word}");
        }
    }
    assert!(count > 20, "the header has {count} functions");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for name in documents() {
        let text = read(&name);
        let folder = Path::new(&name).parent().unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(root().join(folder).join(file).exists(), "{name}: {target} leads nowhere");
        }
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut sources = String::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                sources.push_str(&text);
            }
        }
    }
    let text = read("docs/reliability.md") + &read("docs/security.md");
    let mut count = 0;
    for word in text.split('`').skip(1).step_by(2) {
        // Test names read as sentences: at least four words of lower-case letters and digits.
        let is_sentence = word.matches('_').count() >= 3
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_sentence && !word.starts_with("sandport_") {
            count += 1;
            assert!(sources.contains(&format!("fn {word}(")), "no test is named {word}");
        }
    }
    assert!(count >= 10, "the documents name {count} tests");
}

#[test]
fn every_dependency_is_justified() {
    let text = read("CONTRIBUTING.md");
    let manifest = read("Cargo.toml");
    let mut inside = false;
    let mut count = 0;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.starts_with("dependencies]") || section.starts_with("build-dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            count += 1;
            assert!(
                text.contains(&format!("`{}`", name.trim())),
                "CONTRIBUTING.md does not say why {name} is there"
            );
        }
    }
    assert!(count > 8, "{count} dependencies");
}

#[test]
fn every_config_field_of_the_document_is_known_to_the_library() {
    let text = read("docs/api.md");
    let table = text.split("| field | default | meaning |").nth(1).unwrap();
    let mut names = Vec::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')).skip(1) {
        let first = row.split('|').nth(1).unwrap();
        names.extend(first.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    assert!(names.len() > 25, "{names:?}");
    let refusal = |name: &str| {
        // A list of a list is the right kind for no field, so nothing is opened.
        match Backend::open(&format!("{{\"{name}\": [[]]}}")) {
            Ok(_) => panic!("{name} takes anything"),
            Err(error) => error.message().to_owned(),
        }
    };
    let unknown = refusal("no_such_field").replace("no_such_field", "");
    for name in names {
        assert_ne!(refusal(&name).replace(&name, ""), unknown, "{name}");
    }
}

#[test]
fn the_hardened_settings_are_a_config() {
    let text = read("docs/security.md");
    let block = text.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let mut config: serde_json::Value = serde_json::from_str(block).unwrap();
    // An engine that is not there: only the form is of interest.
    config["endpoint"] = "unix:///nowhere/docker.sock".into();
    let (_, opened) = Backend::open(&config.to_string()).unwrap();
    assert_eq!(opened["warnings"], serde_json::json!([]));
}

#[test]
fn the_house_is_as_its_map_says() {
    let text = read("CONTRIBUTING.md");
    let rooms = ["src/", "tests/", "docs/", "include/", "scripts/"];
    let mut count = 0;
    for word in
        text.split('`').skip(1).step_by(2).filter(|word| rooms.iter().any(|room| word.starts_with(room)))
    {
        count += 1;
        assert!(root().join(word).exists(), "there is no {word}");
    }
    assert!(count > 20, "the map names {count} rooms");
}
