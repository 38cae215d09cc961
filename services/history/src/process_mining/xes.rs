//! XES, IEEE 1849-2016: elements with attributes and nothing else.

use std::borrow::Cow;
use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, Event as Xml};

use super::trace::{Activity, Origin, Trace, moment};
use super::{ExportedHistories, Histories, WriteError};

/// What kinds of attributes there are beyond the standard's own: name, prefix, where it is described.
const EXTENSIONS: [(&str, &str); 5] = [
    ("Concept", "concept"),
    ("Lifecycle", "lifecycle"),
    ("Organizational", "org"),
    ("Time", "time"),
    ("Identity", "identity"),
];

/// Writes all histories, a trace each.
pub(super) fn write(
    out: &mut impl Write,
    histories: &Histories<'_>,
) -> Result<ExportedHistories, WriteError> {
    let mut written = ExportedHistories::default();
    let mut xml = Writer::new_with_indent(out, b' ', 0);
    head(&mut xml)?;
    histories.each("export", |trace| {
        self::trace(&mut xml, trace)?;
        written.cases += 1;
        written.events += trace.events.len() as u64;
        Ok(())
    })?;
    xml.write_event(Xml::End(BytesEnd::new("log")))?;
    xml.get_mut().write_all(b"\n")?;
    Ok(written)
}

/// Extensions, what every trace and event has, and what makes events the same.
fn head(xml: &mut Writer<impl Write>) -> io::Result<()> {
    xml.write_event(Xml::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let log = BytesStart::new("log").with_attributes([
        ("xes.version", "1849.2016"),
        ("xes.features", ""),
        ("xmlns", "http://www.xes-standard.org/"),
    ]);
    xml.write_event(Xml::Start(log))?;
    for (name, prefix) in EXTENSIONS {
        let uri = format!("http://www.xes-standard.org/{prefix}.xesext");
        let extension = xml.create_element("extension");
        extension.with_attributes([("name", name), ("prefix", prefix), ("uri", &uri)]).write_empty()?;
    }
    let global = |scope| ("scope", scope);
    xml.create_element("global")
        .with_attribute(global("trace"))
        .write_inner_content(|xml| attribute(xml, "string", "concept:name", "none"))?;
    xml.create_element("global").with_attribute(global("event")).write_inner_content(|xml| {
        attribute(xml, "string", "concept:name", "none")?;
        attribute(xml, "date", "time:timestamp", "1970-01-01T00:00:00+00:00")?;
        attribute(xml, "string", "lifecycle:transition", "complete")
    })?;
    let classifier = xml.create_element("classifier");
    classifier.with_attributes([("name", "Activity"), ("keys", "concept:name")]).write_empty()?;
    attribute(xml, "string", "concept:name", "duban")?;
    attribute(xml, "string", "lifecycle:model", "standard")
}

fn trace(xml: &mut Writer<impl Write>, trace: &Trace) -> io::Result<()> {
    let origin = match trace.origin {
        Origin::Ours => "duban",
        Origin::Foreign => "imported",
    };
    xml.create_element("trace").write_inner_content(|xml| {
        attribute(xml, "string", "concept:name", &trace.name)?;
        attribute(xml, "string", "stream", &trace.stream)?;
        attribute(xml, "string", "origin", origin)?;
        for (key, value) in &trace.attributes {
            let kind = if key == "taken_in_at" { "date" } else { "string" };
            attribute(xml, kind, key, value)?;
        }
        trace.events.iter().try_for_each(|event| self::event(xml, event))
    })?;
    Ok(())
}

fn event(xml: &mut Writer<impl Write>, event: &Activity) -> io::Result<()> {
    xml.create_element("event").write_inner_content(|xml| {
        attribute(xml, "string", "concept:name", &event.name)?;
        attribute(xml, "date", "time:timestamp", &moment(event.at))?;
        attribute(xml, "string", "lifecycle:transition", &event.transition)?;
        if let Some(resource) = &event.resource {
            attribute(xml, "string", "org:resource", resource)?;
        }
        if let Some((role, unit)) = &event.role_and_unit {
            attribute(xml, "string", "org:role", role)?;
            attribute(xml, "string", "org:group", unit)?;
        }
        attribute(xml, "id", "identity:id", &event.id.to_string())?;
        attribute(xml, "int", "revision", &event.revision.to_string())?;
        attribute(xml, "date", "recorded_at", &moment(event.recorded_at))?;
        event.attributes.iter().try_for_each(|(key, value)| attribute(xml, "string", key, value))
    })?;
    Ok(())
}

fn attribute(xml: &mut Writer<impl Write>, kind: &str, key: &str, value: &str) -> io::Result<()> {
    let (key, value) = (writable(key), writable(value));
    xml.create_element(kind).with_attributes([("key", &*key), ("value", &*value)]).write_empty()?;
    Ok(())
}

/// A text as XML can hold it: characters that it cannot are shown to have been there. The rest is the writer's to escape.
fn writable(text: &str) -> Cow<'_, str> {
    let impossible = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(impossible) {
        Cow::Owned(text.replace(impossible, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
