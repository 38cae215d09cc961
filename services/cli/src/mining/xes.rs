//! XES, IEEE 1849-2016. Written by hand: it is elements with attributes and nothing else, and what matters is that no text of anybody's
//! gets out of its attribute.

use std::fmt::Write as _;
use std::io::Write;

use super::trace::{Happened, Origin, Trace, moment};
use super::{Histories, WriteError, Written};

/// Extensions, what every trace and event has, and what makes events the same.
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xes.features="" xmlns="http://www.xes-standard.org/">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
<extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<extension name="Identity" prefix="identity" uri="http://www.xes-standard.org/identity.xesext"/>
<global scope="trace">
<string key="concept:name" value="none"/>
</global>
<global scope="event">
<string key="concept:name" value="none"/>
<date key="time:timestamp" value="1970-01-01T00:00:00+00:00"/>
<string key="lifecycle:transition" value="complete"/>
</global>
<classifier name="Activity" keys="concept:name"/>
<string key="concept:name" value="duban"/>
<string key="lifecycle:model" value="standard"/>
"#;

/// Writes all histories, a trace each.
pub(super) fn write(out: &mut impl Write, histories: &Histories<'_>) -> Result<Written, WriteError> {
    let mut written = Written::default();
    out.write_all(HEAD.as_bytes())?;
    let mut text = String::new();
    histories.each("export", |trace| {
        text.clear();
        self::trace(&mut text, trace);
        out.write_all(text.as_bytes())?;
        written.cases += 1;
        written.events += trace.events.len() as u64;
        Ok(())
    })?;
    out.write_all(b"</log>\n")?;
    Ok(written)
}

fn trace(text: &mut String, trace: &Trace) {
    text.push_str("<trace>\n");
    attribute(text, "string", "concept:name", &trace.name);
    attribute(text, "string", "stream", &trace.stream);
    let origin = match trace.origin {
        Origin::Ours => "duban",
        Origin::Foreign => "imported",
    };
    attribute(text, "string", "origin", origin);
    for (key, value) in &trace.attributes {
        let kind = if key == "taken_in_at" { "date" } else { "string" };
        attribute(text, kind, key, value);
    }
    for event in &trace.events {
        self::event(text, event);
    }
    text.push_str("</trace>\n");
}

fn event(text: &mut String, event: &Happened) {
    text.push_str("<event>\n");
    attribute(text, "string", "concept:name", &event.activity);
    attribute(text, "date", "time:timestamp", &moment(event.at));
    attribute(text, "string", "lifecycle:transition", &event.transition);
    if let Some(resource) = &event.resource {
        attribute(text, "string", "org:resource", resource);
    }
    if let Some((role, unit)) = &event.place {
        attribute(text, "string", "org:role", role);
        attribute(text, "string", "org:group", unit);
    }
    attribute(text, "id", "identity:id", &event.id.to_string());
    attribute(text, "int", "revision", &event.revision.to_string());
    attribute(text, "date", "recorded_at", &moment(event.recorded_at));
    for (key, value) in &event.attributes {
        attribute(text, "string", key, value);
    }
    text.push_str("</event>\n");
}

fn attribute(text: &mut String, kind: &str, key: &str, value: &str) {
    let _ = write!(text, "<{kind} key=\"");
    escape(text, key);
    text.push_str("\" value=\"");
    escape(text, value);
    text.push_str("\"/>\n");
}

/// A text inside of an attribute. Line ends would be read as spaces; what XML cannot hold at all is shown to have been there.
pub(super) fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(text, "&#{};", u32::from(c));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
            other => text.push(other),
        }
    }
}
