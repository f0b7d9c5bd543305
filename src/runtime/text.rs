//! Text from outside, made safe to show: what an engine says and what a container printed last.
//!
//! Both come from programs that nobody vouches for; escape sequences and bidirectional marks could rewrite a terminal
//! or a log, so they are escaped, and everything is cut to a size.

/// Most bytes of one message of an engine that reach an error or a log line.
const MESSAGE_BYTES: usize = 2048;
/// Most lines of last words.
const WORDS_LINES: usize = 20;
/// Most bytes of last words.
const WORDS_BYTES: usize = 4096;

/// One line that is safe to show: control and bidi characters escaped, at most 2 KiB.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::new();
    for part in text.trim().chars() {
        push_safe(&mut out, part, part == '\n' || part == '\t');
        if out.len() > MESSAGE_BYTES {
            truncate(&mut out, MESSAGE_BYTES);
            out.push('…');
            break;
        }
    }
    out
}

/// The last lines of what was printed: at most 20 lines and 4 KiB, control and bidi characters escaped.
pub(crate) fn last_words(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let mut lines: Vec<String> = Vec::new();
    let mut size = 0;
    for line in text.trim_end().lines().rev().take(WORDS_LINES) {
        let mut safe = String::new();
        line.trim_end_matches('\r').chars().for_each(|part| push_safe(&mut safe, part, false));
        let room = WORDS_BYTES - size;
        if safe.len() + 1 > room {
            // A line that does not fit whole gives its end, unless something stands there already.
            if lines.is_empty() {
                lines.push(tail(&safe, room).to_owned());
            }
            break;
        }
        size += safe.len() + 1;
        lines.push(safe);
    }
    lines.reverse();
    lines.join("\n")
}

/// Pushes one character, escaped where it could do harm; `to_space` makes it a blank instead.
fn push_safe(out: &mut String, part: char, to_space: bool) {
    if to_space {
        out.push(' ');
    } else if part != '\t' && is_harmful(part) {
        out.extend(part.escape_unicode());
    } else {
        out.push(part);
    }
}

/// Control characters, and those that reorder, hide or break what stands around them.
fn is_harmful(part: char) -> bool {
    part.is_control()
        || matches!(part, '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn truncate(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

fn tail(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_words_cannot_rewrite_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c d");
        assert!(clean(&"é".repeat(5000)).len() <= MESSAGE_BYTES + '…'.len_utf8());
    }

    #[test]
    fn last_words_are_the_last_twenty_lines() {
        let printed: String = (0..100).map(|number| format!("line {number}\r\n")).collect();
        let words = last_words(printed.as_bytes());
        assert_eq!(words.lines().count(), WORDS_LINES);
        assert!(words.starts_with("line 80\n") && words.ends_with("line 99"));
    }

    #[test]
    fn last_words_stay_small_and_harmless_whatever_was_printed() {
        let noisy = vec![0x1b; 100_000];
        assert!(last_words(&noisy).len() <= WORDS_BYTES);
        assert_eq!(last_words(b"\x1b]0;x\x07 \xff"), "\\u{1b}]0;x\\u{7} \u{fffd}");
        assert_eq!(last_words(b""), "");
    }
}
