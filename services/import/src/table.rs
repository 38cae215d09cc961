//! A table's rows with their line numbers, however broken some of them are.
//!
//! Not the csv crate: that takes an unclosed quote for a field that goes on, without a word, and so swallows the rows after it. Here a
//! bad row costs itself and no other.

use encoding_rs::Encoding;

/// The longest row, in bytes.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;

/// How the rows are written.
#[derive(Clone, Debug)]
pub(crate) struct TableFormat {
    /// Between fields.
    pub(crate) delimiter: char,
    /// Around fields that hold a delimiter; doubled where it stands for itself.
    pub(crate) quote: Option<char>,
    /// Whether a quoted field may hold line breaks.
    pub(crate) multiline: bool,
    /// An encoding in which ASCII is ASCII, so that lines end where they seem to.
    pub(crate) encoding: &'static Encoding,
}

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// Bytes that are no text.
    #[error("not valid {encoding}: bad byte at column {byte} of the line")]
    Encoding {
        /// The encoding's name.
        encoding: &'static str,
        /// The first bad byte, from 1; the whole line where the decoder does not say which.
        byte: usize,
    },
    /// A quote that is never closed.
    #[error("the quote that opens field {field} is never closed")]
    Unclosed {
        /// The field, from 1.
        field: usize,
    },
    /// Text after a closing quote.
    #[error("field {field} goes on after its closing quote")]
    AfterQuote {
        /// The field, from 1.
        field: usize,
    },
    /// Too long to be a row.
    #[error("the row is {bytes} bytes long, at most {ROW_BYTES_MAX} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A byte that no text holds.
    #[error("the row holds a NUL byte")]
    Nul,
}

/// A row: the number of its first line, from 1, and its fields.
pub(crate) type NumberedRow = (u64, Result<Vec<String>, LineError>);

/// The rows of a file, in order. Empty lines are none.
pub(crate) struct TableRows<'f> {
    rest: &'f [u8],
    line: u64,
    format: &'f TableFormat,
}

impl<'f> TableRows<'f> {
    /// Begins at the file's first byte, after the mark that some programs put there.
    pub(crate) fn new(bytes: &'f [u8], format: &'f TableFormat) -> Self {
        let rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        Self { rest, line: 0, format }
    }

    /// The next `lines` lines as one piece, without the last line's end, and what follows.
    fn piece(&self, lines: usize) -> (&'f [u8], &'f [u8]) {
        let mut ends = self.rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        match ends.nth(lines - 1) {
            Some(end) => {
                let piece = &self.rest[..end];
                (piece.strip_suffix(b"\r").unwrap_or(piece), &self.rest[end + 1..])
            }
            None => (self.rest.strip_suffix(b"\r").unwrap_or(self.rest), &[]),
        }
    }

    /// The row that begins here, and how many lines it takes. One that cannot be read takes one line.
    fn row(&self) -> (Result<Vec<String>, LineError>, usize) {
        let mut first = None;
        let mut lines = 1;
        loop {
            let (piece, rest) = self.piece(lines);
            let read = read(piece, self.format);
            let open = matches!(read, Err(LineError::Unclosed { .. }));
            if !open || !self.format.multiline {
                return if lines > 1 && read.is_err() { (first.unwrap_or(read), 1) } else { (read, lines) };
            }
            if rest.is_empty() || piece.len() > ROW_BYTES_MAX {
                return (first.unwrap_or(read), 1);
            }
            first.get_or_insert(read);
            lines += 1;
        }
    }
}

impl Iterator for TableRows<'_> {
    type Item = NumberedRow;

    fn next(&mut self) -> Option<NumberedRow> {
        while !self.rest.is_empty() {
            let line = self.line + 1;
            let (piece, rest) = self.piece(1);
            if piece.iter().all(u8::is_ascii_whitespace) {
                (self.rest, self.line) = (rest, line);
                continue;
            }
            let (row, lines) = self.row();
            self.rest = self.piece(lines).1;
            self.line += lines as u64;
            return Some((line, row));
        }
        None
    }
}

fn read(bytes: &[u8], format: &TableFormat) -> Result<Vec<String>, LineError> {
    if bytes.len() > ROW_BYTES_MAX {
        return Err(LineError::TooLong { bytes: bytes.len() });
    }
    if bytes.contains(&0) {
        return Err(LineError::Nul);
    }
    let encoding = format.encoding;
    if encoding == encoding_rs::UTF_8 {
        let text = std::str::from_utf8(bytes).map_err(|error| LineError::Encoding {
            encoding: encoding.name(),
            byte: error.valid_up_to() + 1,
        })?;
        return split(text, format);
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let bad = || LineError::Encoding { encoding: encoding.name(), byte: first_bad(bytes, encoding) };
    split(&text.ok_or_else(bad)?, format)
}

/// The first byte, from 1, that cannot be decoded together with those before it.
fn first_bad(bytes: &[u8], encoding: &'static Encoding) -> usize {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len() * 4);
    let (_, read, _) = decoder.decode_to_utf8_without_replacement(bytes, &mut vec![0; room], true);
    read.max(1)
}

/// The fields of a row.
fn split(text: &str, format: &TableFormat) -> Result<Vec<String>, LineError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let field = fields.len() + 1;
        let (value, after) = match format.quote.filter(|quote| rest.starts_with(*quote)) {
            Some(quote) => quoted(&rest[quote.len_utf8()..], quote, field)?,
            None => {
                let end = rest.find(format.delimiter).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(value);
        if after.is_empty() {
            return Ok(fields);
        }
        rest = after.strip_prefix(format.delimiter).ok_or(LineError::AfterQuote { field })?;
    }
}

/// A quoted field, begun after its opening quote, and what follows its closing one.
fn quoted(text: &str, quote: char, field: usize) -> Result<(String, &str), LineError> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(quote).ok_or(LineError::Unclosed { field })?;
        value.push_str(&rest[..end]);
        rest = &rest[end + quote.len_utf8()..];
        match rest.strip_prefix(quote) {
            Some(after) => {
                value.push(quote);
                rest = after;
            }
            None => return Ok((value, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(multiline: bool) -> TableFormat {
        TableFormat { delimiter: ',', quote: Some('"'), multiline, encoding: encoding_rs::UTF_8 }
    }

    #[track_caller]
    fn check(file: &[u8], format: &TableFormat, rows: &[(u64, Result<&[&str], LineError>)]) {
        let found: Vec<_> = TableRows::new(file, format).collect();
        let wanted: Vec<_> = rows
            .iter()
            .map(|(line, row)| (*line, row.clone().map(|row| row.iter().map(|f| (*f).to_owned()).collect())))
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn rows_are_split_with_their_line_numbers_whatever_ends_them() {
        check(
            b"\xEF\xBB\xBFa,b\r\n\r\n\"x, \"\"y\"\"\",\n  \nlast,5\" pipe",
            &format(false),
            &[(1, Ok(&["a", "b"])), (3, Ok(&["x, \"y\"", ""])), (5, Ok(&["last", "5\" pipe"]))],
        );
        check(b"", &format(false), &[]);
    }

    #[test]
    fn a_bad_row_costs_itself_only() {
        let rows: &[(u64, Result<&[&str], LineError>)] = &[
            (1, Ok(&["a"])),
            (2, Err(LineError::Unclosed { field: 2 })),
            (3, Err(LineError::AfterQuote { field: 1 })),
            (4, Err(LineError::Encoding { encoding: "UTF-8", byte: 3 })),
            (5, Err(LineError::Nul)),
            (6, Ok(&["z"])),
        ];
        for multiline in [false, true] {
            check(b"a\nb,\"c\n\"d\"e\nff\xFF\n\0\nz\n", &format(multiline), rows);
        }
    }

    #[test]
    fn quoted_line_breaks_are_kept_where_the_mapping_allows_them() {
        check(b"1,\"a\r\nb\"\n2,c\n", &format(true), &[(1, Ok(&["1", "a\r\nb"])), (3, Ok(&["2", "c"]))]);
    }

    #[test]
    fn other_encodings_are_decoded_and_named_when_they_are_not_that() {
        let gbk = TableFormat { encoding: encoding_rs::GB18030, ..format(false) };
        let (bytes, _, _) = encoding_rs::GB18030.encode("宽带,不通");
        check(&bytes, &gbk, &[(1, Ok(&["宽带", "不通"]))]);
        let Some((1, Err(LineError::Encoding { encoding, .. }))) = TableRows::new(b"ok \xFF,", &gbk).next()
        else {
            panic!("a bad byte was taken")
        };
        assert_eq!(encoding, "gb18030");
    }

    #[test]
    fn a_row_of_more_than_a_mebibyte_is_refused() {
        let long = vec![b'x'; ROW_BYTES_MAX + 1];
        check(&long, &format(false), &[(1, Err(LineError::TooLong { bytes: ROW_BYTES_MAX + 1 }))]);
    }
}
