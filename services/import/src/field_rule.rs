//! How a field comes from a row: a text with columns in it, a table of values, words to look for.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A field's rule as the mapping writes it: a text with `{Column}` in it, or a table.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum FieldRule {
    /// A text in which `{Column}` stands for what that column holds; `{{` and `}}` are braces.
    Text(String),
    /// More than a text.
    RuleSpec(RuleSpec),
}

/// A rule with a table of values or with words to look for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    /// What the rule reads.
    pub(crate) text: String,
    /// The `[table.NAME]` that says what each text becomes.
    pub(crate) table: Option<String>,
    /// The `[[words.NAME]]` list that is searched for in the text.
    pub(crate) words: Option<String>,
    /// What it becomes where nothing is found; without it, such a row is rejected.
    pub(crate) otherwise: Option<String>,
}

/// One entry of a word list: the first entry with a word that the text holds decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    /// What the field becomes.
    pub(crate) gives: String,
    /// Words and phrases, in any case. A `*` at the end lets the last word go on.
    pub(crate) any: Vec<String>,
}

/// The tables and word lists of a mapping.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) tables: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) words: BTreeMap<String, Vec<Words>>,
}

/// Why a rule makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldRuleError {
    /// A brace that is not closed, or closes nothing.
    #[error("{0:?} has a brace without its partner: write {{{{ or }}}} for a brace itself")]
    Brace(String),
    /// A list that does not exist.
    #[error("there is no [{kind}.{name}] in the mapping")]
    NoList {
        /// `table` or `words`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Both at once.
    #[error("a field has a table or words, not both")]
    Both,
}

/// What a text is, in a table that does not have it, or without any of the words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not in [{kind}.{name}] of the mapping, which has no `otherwise`")]
pub(crate) struct NoValue {
    text: String,
    kind: &'static str,
    name: String,
}

/// A rule, checked and prepared.
#[derive(Clone, Debug)]
pub(crate) struct PreparedRule {
    template: Vec<TemplatePart>,
    lookup: Option<Lookup>,
    otherwise: Option<String>,
}

#[derive(Clone, Debug)]
enum TemplatePart {
    Literal(String),
    Column(String),
}

#[derive(Clone, Debug)]
enum Lookup {
    Table(String, BTreeMap<String, String>),
    Words(String, Vec<(String, Vec<Phrase>)>),
}

#[derive(Clone, Debug)]
struct Phrase {
    text: String,
    open: bool,
}

impl FieldRule {
    /// Checks the rule against the mapping's lists.
    pub(crate) fn prepare(&self, lists: &Lookups) -> Result<PreparedRule, FieldRuleError> {
        let spec = match self {
            Self::Text(text) => {
                return Ok(PreparedRule { template: template(text)?, lookup: None, otherwise: None });
            }
            Self::RuleSpec(spec) => spec,
        };
        let missing = |kind, name: &String| FieldRuleError::NoList { kind, name: name.clone() };
        let lookup = match (&spec.table, &spec.words) {
            (Some(_), Some(_)) => return Err(FieldRuleError::Both),
            (None, None) => None,
            (Some(name), None) => {
                let table = lists.tables.get(name).ok_or_else(|| missing("table", name))?;
                let folded = table.iter().map(|(from, to)| (fold(from), to.clone())).collect();
                Some(Lookup::Table(name.clone(), folded))
            }
            (None, Some(name)) => {
                let words = lists.words.get(name).ok_or_else(|| missing("words", name))?;
                let prepare = words.iter().map(|words| (words.gives.clone(), phrases(&words.any))).collect();
                Some(Lookup::Words(name.clone(), prepare))
            }
        };
        Ok(PreparedRule { template: template(&spec.text)?, lookup, otherwise: spec.otherwise.clone() })
    }
}

impl PreparedRule {
    /// A rule that always gives this.
    pub(crate) fn constant(text: &str) -> Self {
        Self { template: vec![TemplatePart::Literal(text.to_owned())], lookup: None, otherwise: None }
    }

    /// The columns it reads.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.template.iter().filter_map(|part| match part {
            TemplatePart::Column(column) => Some(column.as_str()),
            TemplatePart::Literal(_) => None,
        })
    }

    /// Everything it can give, where that can be said without a row.
    pub(crate) fn outcomes(&self) -> Option<Vec<&str>> {
        let found: Vec<&str> = match &self.lookup {
            Some(Lookup::Table(_, table)) => table.values().map(String::as_str).collect(),
            Some(Lookup::Words(_, words)) => words.iter().map(|(gives, _)| gives.as_str()).collect(),
            None => match &self.template[..] {
                [] => vec![""],
                [TemplatePart::Literal(text)] => vec![text],
                _ => return None,
            },
        };
        Some(found.into_iter().chain(self.otherwise.as_deref()).collect())
    }

    /// What it gives for a row.
    pub(crate) fn read<'r>(&self, column: impl Fn(&str) -> &'r str) -> Result<String, NoValue> {
        let mut text = String::new();
        for part in &self.template {
            text.push_str(match part {
                TemplatePart::Literal(literal) => literal,
                TemplatePart::Column(name) => column(name).trim(),
            });
        }
        let found = match &self.lookup {
            None if text.trim().is_empty() => return Ok(self.otherwise.clone().unwrap_or_default()),
            None => return Ok(text),
            Some(Lookup::Table(_, table)) => table.get(&fold(&text)),
            Some(Lookup::Words(_, words)) => {
                let folded = fold(&text);
                words
                    .iter()
                    .find(|(_, any)| any.iter().any(|phrase| phrase.is_in(&folded)))
                    .map(|(gives, _)| gives)
            }
        };
        found.or(self.otherwise.as_ref()).cloned().ok_or_else(|| {
            let (kind, name) = match &self.lookup {
                Some(Lookup::Words(name, _)) => ("words", name.clone()),
                Some(Lookup::Table(name, _)) => ("table", name.clone()),
                None => ("table", String::new()),
            };
            NoValue { text, kind, name }
        })
    }
}

fn template(text: &str) -> Result<Vec<TemplatePart>, FieldRuleError> {
    let unpaired = || FieldRuleError::Brace(text.to_owned());
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        let end = after.find(['{', '}']).filter(|end| brace == "{" && after[*end..].starts_with('}'));
        let end = end.ok_or_else(unpaired)?;
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
        }
        parts.push(TemplatePart::Column(after[..end].to_owned()));
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(TemplatePart::Literal(literal));
    }
    Ok(parts)
}

/// Lower case, with single spaces, so that tables and words need not list every spelling.
fn fold(text: &str) -> String {
    let lower = text.to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn phrases(any: &[String]) -> Vec<Phrase> {
    let phrase = |text: &String| {
        let open = text.ends_with('*');
        Phrase { text: fold(text.trim_end_matches('*')), open }
    };
    any.iter().map(phrase).filter(|phrase| !phrase.text.is_empty()).collect()
}

impl Phrase {
    /// Whether a folded text holds it as words of its own. Chinese is written without spaces: there, anywhere counts.
    fn is_in(&self, text: &str) -> bool {
        let joins = |c: char| c.is_ascii_alphanumeric();
        text.match_indices(&self.text).any(|(at, found)| {
            let before = text[..at].chars().next_back().is_some_and(joins) && found.starts_with(joins);
            let after = text[at + found.len()..].chars().next().is_some_and(joins) && found.ends_with(joins);
            !before && (self.open || !after)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lookups {
        let table = [("Customer Care Call", "hotline10000"), ("Internet", "web")];
        let table = table.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let words = vec![
            Words { gives: "cap".into(), any: vec!["data cap*".into(), "流量".into()] },
            Words { gives: "bill".into(), any: vec!["bill".into(), "refund".into()] },
        ];
        Lookups { tables: [("channel".into(), table)].into(), words: [("category".into(), words)].into() }
    }

    fn prepare(rule: &str) -> Result<PreparedRule, FieldRuleError> {
        #[derive(Deserialize)]
        struct Holder {
            rule: FieldRule,
        }
        toml::from_str::<Holder>(&format!("rule = {rule}")).unwrap().rule.prepare(&lists())
    }

    #[track_caller]
    fn check(rule: &str, text: &'static str, gives: Result<&str, &str>) {
        let read = prepare(rule).unwrap().read(|column| if column == "A B" { text } else { "" });
        let read = read.map_err(|error| error.to_string());
        assert_eq!(read.as_deref().map_err(String::as_str), gives);
    }

    #[test]
    fn a_text_takes_columns_in() {
        check(r#""complaint""#, "x", Ok("complaint"));
        check(r#""import:{A B}, {{x}}""#, " 7 ", Ok("import:7, {x}"));
        check(r#"{ text = "{A B}", otherwise = "none" }"#, "  ", Ok("none"));
        assert_eq!(prepare(r#""{A""#).unwrap_err(), FieldRuleError::Brace("{A".into()));
        assert_eq!(prepare(r#""A}""#).unwrap_err(), FieldRuleError::Brace("A}".into()));
        assert_eq!(prepare(r#""{a{b}""#).unwrap_err(), FieldRuleError::Brace("{a{b}".into()));
    }

    #[test]
    fn a_table_says_what_each_text_becomes_and_others_are_refused() {
        let rule = r#"{ text = "{A B}", table = "channel" }"#;
        check(rule, " customer  care CALL", Ok("hotline10000"));
        check(rule, "Fax", Err("\"Fax\" is not in [table.channel] of the mapping, which has no `otherwise`"));
        check(r#"{ text = "{A B}", table = "channel", otherwise = "counter" }"#, "Fax", Ok("counter"));
        assert!(matches!(prepare(r#"{ text = "", table = "none" }"#), Err(FieldRuleError::NoList { .. })));
    }

    #[test]
    fn the_first_words_found_decide_and_words_are_whole() {
        let rule = r#"{ text = "{A B}", words = "category", otherwise = "other" }"#;
        check(rule, "BILL for Data  Caps", Ok("cap"));
        check(rule, "billing", Ok("other"));
        check(rule, "my bill, again", Ok("bill"));
        check(rule, "每月流量超了", Ok("cap"));
        check(rule, "metadata cap", Ok("other"));
    }

    #[test]
    fn what_a_rule_can_give_is_known_before_the_first_row() {
        let outcomes = |rule: &str| prepare(rule).unwrap().outcomes().map(|all| all.join(" "));
        assert_eq!(
            outcomes(r#"{ text = "{A}", words = "category", otherwise = "other" }"#).unwrap(),
            "cap bill other"
        );
        assert_eq!(outcomes(r#""fixed""#).unwrap(), "fixed");
        assert_eq!(outcomes(r#""{A}""#), None);
    }
}
