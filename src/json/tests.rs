//! What the parser takes and refuses.

use super::*;
use crate::error::Code;

fn fields(text: &str) -> Fields {
    Fields::parse(text, LIMIT).unwrap()
}

fn refusal(text: &str) -> Error {
    Fields::parse(text, LIMIT).unwrap_err()
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["[]", "null", "1", "\"secret\"", "true", "[{\"image\": \"secret\"}]"] {
        let error = refusal(text);
        assert_eq!(
            (error.code(), error.message()),
            (Code::InvalidArgument, "the JSON is not an object"),
            "{text}"
        );
    }
}

#[test]
fn malformed_text_is_refused_without_being_repeated() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{\"a\": secret}",
        "{\"a\": \"secret}",
        "{\"a\": 1,}",
        "{'a': 1}",
        "{\"a\": 1} secret",
        "{\"a\": 01}",
        "{\"a\": +1}",
        "{\"a\": NaN}",
        "{\"a\": 1e999}",
        "{\"a\": \"\\ud800\"}",
        "{\"a\": \"\u{1}\"}",
        "{a: 1}",
        "{\"a\": \"\\x\"}",
        "\u{feff}{}",
        "{} {}",
        "{1: 2}",
    ] {
        let error = refusal(text);
        assert_eq!(error.code(), Code::InvalidArgument, "{text}");
        assert!(error.message().starts_with("the JSON is malformed at line "), "{text}: {}", error.message());
        assert!(!error.message().contains("secret"));
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_at_any_depth() {
    for (text, path) in [
        (r#"{"image": 1, "image": 1}"#, "`image` stands twice"),
        (r#"{"a": {"b": "secret", "b": "secret"}}"#, "`a.b` stands twice"),
        (r#"{"m": [{}, {"x": 1, "y": [[{"z": 1, "z": 2}]]}]}"#, "`m[1].y[0][0].z` stands twice"),
        (r#"{"a": 1, "\u0061": 2}"#, "`a` stands twice"),
        (r#"{"a": {"b": {}}, "c": {"b": {}}, "a": 2}"#, "`a` stands twice"),
    ] {
        assert_eq!(refusal(text).message(), path);
    }
    assert!(Fields::parse(r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}"#, LIMIT).is_ok());
}

#[test]
fn depth_is_bounded_for_objects_and_lists() {
    for (open, inner, close) in [("[", "", "]"), ("{\"a\":", "1", "}")] {
        let text = |depth: usize| format!("{{\"a\": {}{inner}{}}}", open.repeat(depth), close.repeat(depth));
        assert!(Fields::parse(&text(DEPTH - 1), LIMIT).is_ok());
        for depth in [DEPTH, 200, 10_000] {
            assert_eq!(refusal(&text(depth)).message(), "the JSON is nested deeper than 32 levels");
        }
    }
}

#[test]
fn length_is_bounded() {
    let text = format!("{{\"a\": \"{}\"}}", "x".repeat(LIMIT));
    assert_eq!(refusal(&text).message(), "the JSON is longer than 1048576 bytes");
    assert!(Fields::parse(&text, text.len()).is_ok());
}

#[test]
fn unknown_fields_are_refused_by_name_and_never_by_value() {
    let mut read = fields(r#"{"outer": {"known": "x", "typo": "secret"}}"#);
    let mut outer = read.object("outer").unwrap().unwrap();
    assert_eq!(outer.string("known").unwrap().as_deref(), Some("x"));
    let error = outer.finish().unwrap_err();
    assert_eq!(error.message(), "`outer.typo` is an unknown field");
    assert!(!format!("{error:?}").contains("secret"));
    read.finish().unwrap();
    // A typo is one although its value is null.
    assert_eq!(fields(r#"{"typo": null}"#).finish().unwrap_err().message(), "`typo` is an unknown field");
}

#[test]
fn a_name_in_a_message_is_short_and_harmless() {
    let error = fields("{\"\\u001b]0;x\\u0007\\u202e`\": 1}").finish().unwrap_err();
    assert_eq!(error.message(), "`?]0;x???` is an unknown field");
    let long = format!("{{\"{}\": 1}}", "n".repeat(5000));
    assert!(fields(&long).finish().unwrap_err().message().len() < 100);
}

#[test]
fn null_counts_as_absent() {
    let mut read = fields(r#"{"a": null, "b": null, "c": null, "d": null, "e": null}"#);
    assert!(!read.has("a"));
    assert_eq!(read.string("a").unwrap(), None);
    assert_eq!(read.boolean("b").unwrap(), None);
    assert_eq!(read.seconds("c").unwrap(), None);
    assert!(read.object("d").unwrap().is_none());
    assert_eq!(read.strings("e").unwrap(), None);
    read.finish().unwrap();
}

#[test]
fn seconds_are_converted_with_care() {
    for (text, time) in [
        ("0", Duration::ZERO),
        ("-0.0", Duration::ZERO),
        ("2.5", Duration::from_millis(2500)),
        ("1e3", Duration::from_secs(1000)),
        ("31536000", Duration::from_secs(31_536_000)),
        ("1e-300", Duration::ZERO),
    ] {
        assert_eq!(fields(&format!("{{\"t\": {text}}}")).seconds("t").unwrap(), Some(time), "{text}");
    }
    for text in ["-1", "-0.001", "1e300", "31536000.1", "18446744073709551616", "\"5\"", "true", "[1]", "{}"]
    {
        let error = fields(&format!("{{\"t\": {text}}}")).seconds("t").unwrap_err();
        assert_eq!(error.message(), "`t` is not a number of seconds from 0 to one year", "{text}");
    }
}

#[test]
fn whole_numbers_are_converted_with_care() {
    for (text, number) in [("1", 1), ("8080", 8080), ("8080.0", 8080), ("8.08e3", 8080), ("65535", 65535)] {
        assert_eq!(fields(&format!("{{\"p\": {text}}}")).port("p").unwrap(), Some(number), "{text}");
    }
    for text in
        ["0", "-1", "65536", "1.5", "1e300", "\"80\"", "true", "99999999999999999999", "[]", "{}", "-0.5"]
    {
        let error = fields(&format!("{{\"p\": {text}}}")).port("p").unwrap_err();
        assert_eq!(error.message(), "`p` is not a whole number from 1 to 65535", "{text}");
    }
}

#[test]
fn wrong_kinds_are_refused_by_the_path_of_the_field() {
    let bad = r#"{"o": {"text": 1, "flag": "true", "list": {}, "texts": ["a", 7], "objects": [{}, "x"], "nul": "a\u0000b",
        "pairs": {"A": 5}, "word": "secret", "number": -2}}"#;
    let mut outer = fields(bad).object("o").unwrap().unwrap();
    let mut said = vec![
        outer.string("text").unwrap_err(),
        outer.boolean("flag").unwrap_err(),
        outer.strings("list").unwrap_err(),
        outer.strings("texts").unwrap_err(),
        outer.objects("objects").unwrap_err(),
        outer.string("nul").unwrap_err(),
        outer.pairs("pairs", |_, _| Ok(())).unwrap_err(),
        outer.word("word", &[("one", 1), ("two", 2)]).unwrap_err(),
        outer.positive("number", 10.0).unwrap_err(),
    ];
    let hint = said[7].hint().to_owned();
    let said: Vec<_> = said.drain(..).map(|error| error.message().to_owned()).collect();
    assert_eq!(
        said,
        [
            "`o.text` is not a text",
            "`o.flag` is not true or false",
            "`o.list` is not a list",
            "`o.texts[1]` is not a text",
            "`o.objects[1]` is not an object",
            "`o.nul` has a NUL character",
            "`o.pairs.A` is not a text",
            "`o.word` is none of its words",
            "`o.number` is not a number above 0 and up to 10",
        ]
    );
    assert_eq!(hint, "say one of \"one\", \"two\"");
}

#[test]
fn a_text_may_have_nul_where_it_is_data() {
    assert_eq!(fields(r#"{"body": "a\u0000b"}"#).text("body").unwrap().as_deref(), Some("a\0b"));
}
