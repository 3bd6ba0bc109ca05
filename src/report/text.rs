//! As text, in lines that nobody has to fold.

use std::fmt::Write;

use super::{counted, group, name, of_alerts, of_the_past, seconds, span};
use crate::model::{Ranked, Report};

/// The report as text.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = Text(String::new());
    out.line(&format!("Accesses to secrets, {}", span(report)));
    out.gap();
    out.line(&format!("{}.", report.sentence()));
    out.line(&of_alerts(report));
    if report.cut_short {
        out.line("There were more combinations than are kept apart: lists lack the rarest and oldest.");
    }

    out.list("Incidents", &report.incidents, |line| {
        let severity = line.severity.map(|severity| format!("[{}] ", severity.word())).unwrap_or_default();
        let told = line
            .summary
            .as_ref()
            .map_or_else(|| format!("rule {}, {}", name(&line.rule), group(&line.group)), |it| name(it));
        let state = if line.open { "open" } else { "over" };
        format!("{}  {severity}{told} (rule {}, {state}, {})", line.first_access, name(&line.rule), line.incident)
    });
    if !report.blind.is_empty() {
        out.title("Blind");
        for line in &report.blind {
            let until = line.until.map_or("until now".to_owned(), |until| format!("until {}", until.second()));
            let length = seconds(line.seconds);
            out.item(&format!("{}  {} ({until}, {length})", line.told.second(), name(&line.summary)));
        }
    }
    out.list("Denied", &report.denied, |line| {
        let secret = line.secret.as_ref().map(|secret| format!(" {}", name(secret))).unwrap_or_default();
        let from = line.source_ip.as_ref().map(|from| format!(" from {}", name(from))).unwrap_or_default();
        format!(
            "{:>7}  {}{secret} to {}, last at {}{from}",
            line.count,
            name(&line.event),
            name(&line.principal),
            line.last
        )
    });
    out.title("New");
    if let Some(past) = of_the_past(report) {
        out.line(&past);
    }
    if let Some(pairs) = &report.new_pairs {
        out.rest(pairs, |line| {
            format!("{}  {} by {} ({})", line.first, name(&line.secret), name(&line.principal), counted(&line.accesses))
        });
    }
    out.list("By secret", &report.by_secret, |line| {
        let trouble = line.accesses.trouble();
        let trouble = if trouble.is_empty() { trouble } else { format!(", {trouble}") };
        let by = crate::model::count(line.principals, "principal");
        format!("{:>7}  {}, by {by}{trouble}, last at {}", line.accesses.all, name(&line.secret), line.last)
    });
    out.list("By principal", &report.by_principal, |line| {
        let trouble = line.accesses.trouble();
        let trouble = if trouble.is_empty() { trouble } else { format!(", {trouble}") };
        let secrets = crate::model::count(line.secrets, "secret");
        format!("{:>7}  {}, {secrets}{trouble}, last at {}", line.accesses.all, name(&line.principal), line.last)
    });
    out.0
}

struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn gap(&mut self) {
        self.line("");
    }

    fn title(&mut self, title: &str) {
        self.gap();
        self.line(title);
    }

    fn item(&mut self, item: &str) {
        self.line(&format!("  {item}"));
    }

    fn list<T>(&mut self, title: &str, list: &Ranked<T>, line: impl Fn(&T) -> String) {
        self.title(title);
        self.rest(list, line);
    }

    fn rest<T>(&mut self, list: &Ranked<T>, line: impl Fn(&T) -> String) {
        list.shown.iter().for_each(|it| self.item(&line(it)));
        match list.omitted {
            0 if list.shown.is_empty() => self.item("none"),
            0 => {}
            more => self.item(&format!("and {more} more")),
        }
    }
}
