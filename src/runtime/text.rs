//! Text from outside: made safe to show, and its times read.
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

/// Unix seconds of an RFC 3339 time such as `2026-08-01T12:00:00.123456789Z` or with an offset such as `+02:00`.
pub(crate) fn unix_seconds(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let mut parts = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let second = parts.next()?.parse::<f64>().ok()?;
    let offset = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, rest) => {
            let (hours, minutes) = rest.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let days = fits.then(|| days_since_1970(year, month, day))?;
    Some((days * 86400 + hour * 3600 + minute * 60 - offset) as f64 + second)
}

/// Howard Hinnant's count of days, with the year beginning in March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era_year = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + era_year * 365 + era_year / 4 - era_year / 100 + day_of_year - 719_468
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

    #[test]
    fn times_of_any_form_are_read() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(unix_seconds("2024-02-29T23:59:59.5+01:00"), Some(1_709_247_599.5));
        assert_eq!(unix_seconds("0001-01-01T00:00:00Z"), None);
        assert_eq!(unix_seconds("yesterday"), None);
        assert_eq!(unix_seconds("2024-02-29Té:00:00"), None);
    }
}
