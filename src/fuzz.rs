//! Property tests with bytes that nobody would write: each target takes mutations of its corpus for a bounded time and
//! must neither panic nor grow. (libFuzzer needs a nightly compiler, which this project does without.)
//!
//! `make test` gives each a second, `make fuzz` what `SANDPORT_FUZZ_SECONDS` says. The seed is printed with every
//! failure; `SANDPORT_TEST_SEED` plays it again. What is found becomes a seed of the corpus in tests/corpus.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::operation::Operation;
use crate::runtime::{detect, text};

/// A small generator whose sequence a seed decides (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Words at which parsers break.
const WORDS: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"[",
    b"}",
    b"]",
    b":",
    b",",
    b"null",
    b"1e309",
    b"-1",
    b"\\u0000",
    b"\xff\xfe",
    b"\x00",
    b"\xe2\x80\xae",
    b"18446744073709551616",
    b"..",
];

/// Gives mutations of the corpus `tests/corpus/NAME` to a target until the time is over.
pub(crate) fn hammer(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut corpus: Vec<Vec<u8>> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!corpus.is_empty(), "the corpus {name} is empty");
    corpus.sort();
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seed = number("SANDPORT_TEST_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_ne_bytes(bytes)
    });
    let seconds = number("SANDPORT_FUZZ_SECONDS").unwrap_or(1);
    println!("SANDPORT_TEST_SEED={seed} for {seconds} s on {} seeds of {name}", corpus.len());
    corpus.iter().for_each(|bytes| target(bytes));
    let (mut random, end, mut runs) =
        (Random::new(seed), Instant::now() + Duration::from_secs(seconds), 0u64);
    while Instant::now() < end {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut bytes, &corpus, &mut random);
        }
        target(&bytes);
        runs += 1;
    }
    println!("{name}: {runs} inputs");
}

fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 => bytes.truncate(at),
        2 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        3 => {
            let end = (at + random.below(16)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        4 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        5 => {
            let repeated = bytes[..at].to_vec();
            if bytes.len() < 1 << 16 {
                bytes.splice(at..at, repeated);
            }
        }
        _ => {
            let deep = random.below(200);
            bytes.splice(at..at, std::iter::repeat_n(b'[', deep));
        }
    }
}

#[test]
fn no_config_makes_the_reader_panic() {
    hammer("config", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Err(error) = Config::from_json(text)
        {
            assert!(!error.message().is_empty());
        }
    });
}

#[test]
fn no_request_makes_the_reader_panic() {
    hammer("requests", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            for operation in Operation::ALL {
                let _ = operation.parse(text);
            }
        }
    });
}

#[test]
fn last_words_are_short_and_hold_no_control_character() {
    hammer("words", |bytes| {
        let words = text::last_words(bytes);
        assert!(words.len() <= 4096 && words.lines().count() <= 20);
        assert!(words.chars().all(|one| matches!(one, '\n' | '\t') || !one.is_control()), "{words:?}");
        let cleaned = text::clean(&String::from_utf8_lossy(bytes));
        assert!(cleaned.chars().all(|one| !one.is_control() && !('\u{202a}'..='\u{202e}').contains(&one)));
    });
}

#[test]
fn no_endpoint_makes_the_reader_panic() {
    hammer("endpoints", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = detect::parse(text, None).map(|endpoint| detect::is_remote(&endpoint));
        }
    });
}
