//! What must never be read in an error or a log line: environment values and keys, and how they are taken out.
//!
//! An engine repeats what it was given (runc prints a variable with its value), so every error text of a call goes
//! through [`Secrets::redact`] before it leaves.

use crate::error::Error;

/// Shorter values are words like `1` or `yes`: replacing them would garble every text and hide nothing.
const SHORTEST: usize = 4;
const REDACTED: &str = "[redacted]";

/// The values that one call must not repeat.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    /// Longest first, so that a value which holds another goes as a whole.
    values: Vec<String>,
}

impl Secrets {
    /// The secrets among these values.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Secrets {
        let mut secrets = Secrets::default();
        values.into_iter().for_each(|value| secrets.push(value));
        secrets.settle();
        secrets
    }

    /// One more secret.
    pub fn add(&mut self, value: &str) {
        self.push(value);
        self.settle();
    }

    /// A value in each form in which an engine may repeat it: as it is, quoted, and line by line.
    fn push(&mut self, value: &str) {
        let quoted = serde_json::Value::from(value).to_string();
        let quoted = &quoted[1..quoted.len() - 1];
        let forms = [value, value.trim(), quoted].into_iter().chain(value.lines());
        self.values.extend(forms.filter(|form| form.len() >= SHORTEST).map(str::to_owned));
    }

    fn settle(&mut self) {
        self.values.sort_by(|one, two| two.len().cmp(&one.len()).then_with(|| one.cmp(two)));
        self.values.dedup();
    }

    /// The text without any of the secrets.
    pub fn redact(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| match text.contains(value.as_str()) {
            true => text.replace(value.as_str(), REDACTED),
            false => text,
        })
    }

    /// The error without any of the secrets.
    pub fn clean(&self, error: Error) -> Error {
        if self.values.is_empty() { error } else { error.map_text(|text| self.redact(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_value_is_taken_out_of_message_hint_and_details() {
        let secrets = Secrets::of(["hunter22", "yes"]);
        let error = Error::new(Code::RuntimeFailed, "runc: KEY=hunter22, yes")
            .with_hint("unset hunter22")
            .with_detail("log", "hunter22\nhunter22");
        let text = secrets.clean(error).to_json().to_string();
        assert!(!text.contains("hunter22") && text.contains("KEY=[redacted], yes"), "{text}");
    }

    #[test]
    fn a_value_that_holds_another_goes_as_a_whole() {
        let secrets = Secrets::of(["abcd", "abcdefgh"]);
        assert_eq!(secrets.redact("x=abcdefgh y=abcd"), "x=[redacted] y=[redacted]");
    }

    #[test]
    fn a_quoted_value_and_each_line_of_a_long_one_are_found() {
        let secrets = Secrets::of(["-----BEGIN\nMIIabc\"def\n"]);
        let said = secrets.redact("line MIIabc\"def; whole -----BEGIN\\nMIIabc\\\"def\\n");
        assert!(!said.contains("MII") && !said.contains("BEGIN"), "{said}");
    }
}
