//! The store's layout, byte by byte.
//!
//! One tree. The first byte of a key names the table; numbers are big-endian, so that rows lie in order; event times
//! are their seconds plus 2^63, so that those before 1970 lie first. `id` is a text to the end of the key. Values are
//! JSON unless said otherwise: a month later somebody will want to read one.
//!
//! | key | value | what for |
//! |---|---|---|
//! | `v` | 4 bytes: schema version | refusing a store from the future |
//! | `w` | 8 bytes: how many batches have been written | noticing that some are lost |
//! | `s` | time:8 | where watching begins in a store that was renewed, until the next start has taken it over |
//! | `a` time:8 id | [`Access`](crate::model::Access), packed by `pack` | every access, under the id it counts by |
//! | `i` id | time:8 hash:8 flag:1 id, or none if it is the same | every event id seen: where its access lies, and a hash that tells a repeat from another event under the same id; flag 1: only named by another record so far. A record that makes no sense is found by the byte 1 and hash:8 in place of an id |
//! | `y` time:8 id | [`Access`](crate::model::Access), packed | records that repeat an access counted under another id (cross-account copies, updates) |
//! | `m` rule:8 group:16 time:8 id | value:8 flags:1 steps:1, the last only of sequences | which accesses a rule counts, by group; flag 1: reported already; a bit for each step that it is a part of |
//! | `n` rule:8 group:16 first_end:8 incident:32 | [`Incident`](crate::detect::Incident) | incidents of a group, by time |
//! | `o` incident:32 | the `n` key | incidents that are open |
//! | `p` incident:32 segment:8 | list of time and id | covered accesses that no alert holds yet, 150 a segment |
//! | `q` seq:8 | [`AlertRow`](super::AlertRow) | every alert, in the order of decision |
//! | `t` incident:32 seq:8 | nothing | the alerts of an incident |
//! | `e` seq:8 part:2 | list of event ids | the events that an alert holds |
//! | `b` seq:8 part:2 | a piece of the alert's JSON | what is sent; gone once no notifier needs it |
//! | `d` notifier 0 seq:8 | [`DeliveryRow`](super::DeliveryRow) | the outbox |
//! | `f` seq:8 notifier | [`FateRow`](super::FateRow) | what became of a delivery: accepted, or dead |
//! | `r` name | [`RuleRow`](super::RuleRow) | the rule's current version |
//! | `c` account 0 region | [`SourceRow`](super::SourceRow) | a source's coverage, and how late its events became visible |
//! | `h` memory:8 combination:16 | first:8 last:8, repeated | when rules with `first_seen` saw a combination, as runs |
//! | `l` allowance:8 | [`AllowanceRow`](super::AllowanceRow) | how an entry of the allow-list was used |
//! | `x` id | [`Silence`](super::Silence) | which alerts are not to be sent |
//! | `u` seen:8 hash:8 | [`UnreadableRow`](super::UnreadableRow) | records that made no sense |

use crate::detect::{AllowId, GroupId, IncidentId, MemoryId, RuleId};
use crate::model::EventTime;

/// The layout described here. Version 2 had accesses without their records, version 1 had them unpacked and every id in
/// full; all are read.
pub(super) const VERSION: u32 = 3;

pub(super) const META: &[u8] = b"v";
pub(super) const BATCHES: &[u8] = b"w";
pub(super) const BEGINNING: &[u8] = b"s";
pub(super) const ACCESS: u8 = b'a';
pub(super) const INDEX: u8 = b'i';
pub(super) const COPY: u8 = b'y';
pub(super) const MATCH: u8 = b'm';
pub(super) const INCIDENT: u8 = b'n';
pub(super) const OPEN: u8 = b'o';
pub(super) const PENDING: u8 = b'p';
pub(super) const ALERT: u8 = b'q';
pub(super) const ALERT_OF: u8 = b't';
pub(super) const EVENTS: u8 = b'e';
pub(super) const BODY: u8 = b'b';
pub(super) const DELIVERY: u8 = b'd';
pub(super) const FATE: u8 = b'f';
pub(super) const RULE: u8 = b'r';
pub(super) const SOURCE: u8 = b'c';
pub(super) const SIGHTINGS: u8 = b'h';
pub(super) const ALLOWANCE: u8 = b'l';
pub(super) const SILENCE: u8 = b'x';
pub(super) const UNREADABLE: u8 = b'u';

/// A key being put together.
#[derive(Clone, Debug)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn of(table: u8) -> Self {
        let mut key = Vec::with_capacity(80);
        key.push(table);
        Self(key)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// A text that more follows. Texts with a zero byte of their own never get here: names are checked, and records
    /// lose their control characters when they are read.
    pub(super) fn text_then(self, text: &str) -> Self {
        self.bytes(text.as_bytes()).bytes(&[0])
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn part(self, part: usize) -> Self {
        self.bytes(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes())
    }

    pub(super) fn time(self, at: EventTime) -> Self {
        self.bytes(&time_bytes(at))
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}

pub(super) fn time_bytes(at: EventTime) -> [u8; 8] {
    at.0.wrapping_sub(i64::MIN).cast_unsigned().to_be_bytes()
}

/// The event time in `bytes` from `at` on.
pub(super) fn time_at(bytes: &[u8], at: usize) -> Option<EventTime> {
    let number = number_at(bytes, at)?;
    Some(EventTime(number.cast_signed().wrapping_add(i64::MIN)))
}

/// The number in `bytes` from `at` on.
pub(super) fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}

/// The text in `bytes` from `at` on.
pub(super) fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    std::str::from_utf8(bytes.get(at..)?).ok()
}

pub(super) fn access(at: EventTime, id: &str) -> Vec<u8> {
    Key::of(ACCESS).time(at).text(id).end()
}

pub(super) fn copy(at: EventTime, id: &str) -> Vec<u8> {
    Key::of(COPY).time(at).text(id).end()
}

pub(super) fn index(id: &str) -> Vec<u8> {
    Key::of(INDEX).text(id).end()
}

pub(super) fn group(table: u8, rule: RuleId, group: GroupId) -> Key {
    Key::of(table).bytes(&rule.0).bytes(&group.0)
}

pub(super) fn matched(rule: RuleId, of: GroupId, at: EventTime, id: &str) -> Vec<u8> {
    group(MATCH, rule, of).time(at).text(id).end()
}

pub(super) fn incident(rule: RuleId, of: GroupId, first_end: EventTime, id: &IncidentId) -> Vec<u8> {
    group(INCIDENT, rule, of).time(first_end).text(&id.0).end()
}

pub(super) fn open(id: &IncidentId) -> Vec<u8> {
    Key::of(OPEN).text(&id.0).end()
}

pub(super) fn pending(id: &IncidentId) -> Key {
    Key::of(PENDING).text(&id.0)
}

pub(super) fn numbered(table: u8, seq: u64) -> Key {
    Key::of(table).number(seq)
}

pub(super) fn sightings(memory: MemoryId, combination: &[u8; 16]) -> Vec<u8> {
    Key::of(SIGHTINGS).bytes(&memory.0).bytes(combination).end()
}

pub(super) fn allowance(id: AllowId) -> Vec<u8> {
    Key::of(ALLOWANCE).bytes(&id.0).end()
}

pub(super) fn silence(id: &str) -> Vec<u8> {
    Key::of(SILENCE).text(id).end()
}

pub(super) fn alert_of(incident: &str, seq: u64) -> Vec<u8> {
    Key::of(ALERT_OF).text(incident).number(seq).end()
}

pub(super) fn queue(notifier: &str) -> Key {
    Key::of(DELIVERY).text_then(notifier)
}
