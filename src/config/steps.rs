//! `steps` and `within` of a rule: what has to happen one after the other, and in what time.

use super::builtin::NOT_WITH_STEPS;
use super::condition::condition;
use super::keys::STEP;
use super::render::same_condition;
use super::rules::{measure, seconds};
use super::table::{Item, Table};
use crate::detect::{GroupKey, MAX_STEPS, Rule, Statistic, Step};

/// Makes `rule` the sequence that `table` says, whose `steps` are the item. Returns the tables of the steps.
pub(super) fn sequence<'a>(rule: &mut Rule, table: &Table<'a>, steps: &Item<'a>) -> Vec<Table<'a>> {
    // What one thing after another is worth telling of is mostly who did it.
    rule.group_by = vec![GroupKey::Principal];
    for key in NOT_WITH_STEPS {
        if let Some(item) = table.item(key) {
            item.wrong(format!("not together with steps; {}", instead_of(key)));
        }
    }
    let within = table.required("within", "the time in which all steps have to happen, such as \"30m\"");
    rule.window = within.and_then(|item| seconds(&item, 1)).unwrap_or(rule.window);
    let elements = steps.list("steps, each a table").unwrap_or_default();
    let tables: Vec<Table<'a>> = elements.iter().filter_map(|element| element.table(&STEP)).collect();
    rule.steps = tables.iter().map(step).collect();
    if elements.len() < 2 {
        steps.wrong("at least two steps follow one another; what happens once is a rule without steps");
    } else if elements.len() > MAX_STEPS {
        steps.wrong(format!("at most {MAX_STEPS} steps, found {}", elements.len()));
    }
    apart(&rule.steps, &tables);
    of_one_key(&rule.steps, &tables);
    tables
}

fn instead_of(key: &str) -> &'static str {
    match key {
        "window" => "the time for all of them is within",
        "first_seen" => "a rule is one or the other",
        _ => "each step has its own",
    }
}

fn step(table: &Table<'_>) -> Step {
    table.refuse_the_rest();
    let (statistic, threshold) = measure(table);
    Step { condition: condition(table), statistic, threshold }
}

/// Two steps that mean the same accesses are one with a higher threshold, and that is what somebody meant.
fn apart(steps: &[Step], tables: &[Table<'_>]) {
    for (pair, table) in steps.windows(2).zip(tables.iter().skip(1)) {
        if same_condition(&pair[0].condition, &pair[1].condition) {
            table.wrong_itself("means the same accesses as the step before it; make them one, with a threshold");
        }
    }
}

/// An access has one value in a window, so all steps count those of the same key.
fn of_one_key(steps: &[Step], tables: &[Table<'_>]) {
    let mut first = None;
    for (step, table) in steps.iter().zip(tables) {
        let Statistic::Distinct(key) = step.statistic else { continue };
        let first = *first.get_or_insert(key);
        if first != key
            && let Some(item) = table.item("statistic")
        {
            item.wrong(format!(
                "another step counts distinct values of {:?}; all of them count the same",
                first.word()
            ));
        }
    }
}
