//! Lists as people and programs want them: a table that fits the terminal, JSON lines, or CSV.
//!
//! On a terminal times are local and cells are folded to fit it. Where output goes elsewhere nothing is folded and times
//! are UTC, as in all data.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::{EventTime, WallTime, printable};

/// Columns that are never folded.
const UNFOLDED: [&str; 5] = ["TIME", "DECIDED", "ALERT", "SILENCE", "EVENT ID"];

/// Characters of one cell, at most.
const CELL_MAX: usize = 500;

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs, one object a line
    Json,
    /// For spreadsheets
    Csv,
}

/// Where a table goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Columns that there are; none: as many as it takes.
    width: Option<u16>,
    zone: TimeZone,
}

impl Place {
    /// Standard output.
    pub(super) fn standard() -> Self {
        if !io::stdout().is_terminal() {
            return Self::anywhere();
        }
        let width = terminal_size::terminal_size().map(|(width, _)| width.0);
        Self { width, zone: TimeZone::system() }
    }

    /// A file, or another program.
    pub(super) fn anywhere() -> Self {
        Self { width: None, zone: TimeZone::UTC }
    }

    /// Whether there are so many columns.
    pub(super) fn holds(&self, columns: u16) -> bool {
        self.width.is_none_or(|width| width >= columns)
    }

    /// An event's time.
    pub(super) fn event(&self, at: EventTime) -> String {
        self.wall(at.wall())
    }

    /// An instant, to the second.
    pub(super) fn wall(&self, at: WallTime) -> String {
        if self.zone == TimeZone::UTC {
            return at.second().to_string();
        }
        match Timestamp::from_second(at.second().0) {
            Ok(instant) => instant.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Err(_) => at.second().to_string(),
        }
    }

    /// A table under these titles, without lines: what is copied from it is text.
    pub(super) fn table(&self, titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(titles.iter().copied());
        table.set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell, CELL_MAX)));
        }
        let columns = table.column_count();
        for (place, title) in titles.iter().enumerate() {
            // What will be copied stays whole.
            if UNFOLDED.contains(title)
                && let Some(column) = table.column_mut(place)
            {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if place + 1 == columns { 0 } else { 2 }));
        }
        let mut text = String::new();
        for line in table.to_string().lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Rows of comma-separated values under these titles, as RFC 4180 has them. What a spreadsheet would take for a formula
/// gets an apostrophe before it: callers choose the names that stand here.
pub(super) fn csv(out: &mut dyn Write, titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().from_writer(out);
    writer.write_record(titles)?;
    for row in rows {
        writer.write_record(row.into_iter().map(plain))?;
    }
    writer.flush()
}

fn plain(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["prod/db/password".to_owned(), "a, \"b\"\n\u{1b}[31mc".to_owned()]]
    }

    #[test]
    fn a_table_fits_its_place() {
        let wide = Place::anywhere().table(&["SECRET", "WHO"], rows());
        assert_eq!(wide, "SECRET            WHO\nprod/db/password  a, \"b\"??[31mc\n");
        let narrow = Place { width: Some(16), zone: TimeZone::UTC }.table(&["SECRET", "WHO"], rows());
        assert!(narrow.lines().count() > 2 && narrow.lines().all(|line| line.chars().count() <= 16), "{narrow}");
    }

    #[test]
    fn times_are_local_where_people_look() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let at = EventTime(1_779_907_554);
        assert_eq!(Place { width: Some(80), zone }.event(at), "2026-05-27 20:45:54");
        assert_eq!(Place::anywhere().event(at), "2026-05-27T18:45:54Z");
    }

    #[test]
    fn nothing_is_a_formula() {
        for (cell, expected) in [("=A1", "'=A1"), ("+1", "'+1"), ("-", "'-"), ("@x", "'@x"), ("a=1", "a=1"), ("", "")] {
            assert_eq!(plain(cell.to_owned()), expected);
        }
    }

    #[test]
    fn commas_and_quotes_stay_in_their_cell() {
        let mut text = Vec::new();
        csv(&mut text, &["secret", "who"], rows().into_iter()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "secret,who\nprod/db/password,\"a, \"\"b\"\"\n\u{1b}[31mc\"\n");
    }
}
