//! What a tunnel does now beside what is normal for it, for people.

use crate::client::clean;
use crate::table::{Cell, bytes};
use crate::tunnels::{items, text};
use serde_json::Value;

/// A quantity as the status has it.
struct Quantity<'a> {
    name: &'a str,
    now: Option<f64>,
    median: f64,
    spread: f64,
    unusual: bool,
}

fn quantities(connection: &Value) -> Vec<Quantity<'_>> {
    let Some(baseline) = connection.get("baseline") else { return Vec::new() };
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64);
    let read = |value| {
        Some(Quantity {
            name: text(value, "quantity"),
            now: number(value, "now"),
            median: number(value, "median")?,
            spread: number(value, "spread")?,
            unusual: value.get("unusual").and_then(Value::as_bool).unwrap_or_default(),
        })
    };
    items(baseline, "quantities").into_iter().filter_map(read).collect()
}

/// What people call a quantity, and a value of it.
fn words(name: &str) -> (String, fn(f64) -> String) {
    let per_second: fn(f64) -> String = |value| format!("{}/s", bytes(value.max(0.0) as u64));
    let packets: fn(f64) -> String = |value| format!("{value:.0}/s");
    match name {
        "receive_bytes_per_second" => ("received".to_owned(), per_second),
        "transmit_bytes_per_second" => ("sent".to_owned(), per_second),
        "receive_packets_per_second" => ("packets received".to_owned(), packets),
        "transmit_packets_per_second" => ("packets sent".to_owned(), packets),
        "rtt_seconds" => ("round trip".to_owned(), |value| format!("{:.1} ms", value * 1000.0)),
        "loss_ratio" => ("loss".to_owned(), |value| format!("{:.2} %", value * 100.0)),
        other => (clean(other), |value| format!("{value}")),
    }
}

/// What is unusual about a connection now, in a few words: `round trip 120.0 ms, normally 20.5 ms`.
pub fn unusual(connection: &Value) -> Vec<String> {
    let told = quantities(connection).into_iter().filter(|quantity| quantity.unusual).filter_map(|quantity| {
        let (name, value) = words(quantity.name);
        Some(format!("{name} {}, normally {}", value(quantity.now?), value(quantity.median)))
    });
    told.collect()
}

/// Every quantity of a connection as rows of a table, with a heading that says what it is compared with; nothing where
/// nothing is known yet.
pub fn rows(connection: &Value) -> Option<(String, Vec<Vec<Cell>>)> {
    let baseline = connection.get("baseline").filter(|baseline| !baseline.is_null())?;
    let hours = baseline.get("hours").and_then(Value::as_u64).unwrap_or_default();
    let basis = match text(baseline, "basis") {
        "hour_of_week" => "this hour of the week",
        "hour_of_day" => "this hour of the day",
        _ => "any hour",
    };
    let mut rows: Vec<Vec<Cell>> = vec![["", "NOW", "NORMALLY", "GIVE OR TAKE", ""].map(Cell::from).to_vec()];
    for quantity in quantities(connection) {
        let (name, value) = words(quantity.name);
        let now = quantity.now.map_or_else(|| "-".to_owned(), value);
        let note = Cell { text: if quantity.unusual { "unusual" } else { "" }.to_owned(), colour: Some(33) };
        rows.push(vec![name.into(), now.into(), value(quantity.median).into(), value(quantity.spread).into(), note]);
    }
    let name = clean(text(connection, "name"));
    Some((format!("{name}: what is normal at {basis}, from {hours} of them"), rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_normal_is_shown_in_the_units_of_people() {
        let quantity = |name: &str, now: Option<f64>, median: f64, unusual: bool| json!({"quantity": name, "now": now, "median": median, "spread": median / 10.0, "unusual": unusual});
        let connection = json!({"name": "site-b", "baseline": {"basis": "hour_of_week", "hours": 4, "quantities": [
            quantity("receive_bytes_per_second", Some(1_048_576.0), 2_097_152.0, false),
            quantity("rtt_seconds", Some(0.12), 0.0205, true),
            quantity("loss_ratio", None, 0.001, false)]}});
        assert_eq!(unusual(&connection), ["round trip 120.0 ms, normally 20.5 ms"]);
        let (heading, rows) = rows(&connection).unwrap();
        assert_eq!(heading, "site-b: what is normal at this hour of the week, from 4 of them");
        let texts: Vec<String> =
            rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join("|")).collect();
        assert_eq!(
            texts,
            [
                "|NOW|NORMALLY|GIVE OR TAKE|",
                "received|1.0 MiB/s|2.0 MiB/s|204.7 KiB/s|",
                "round trip|120.0 ms|20.5 ms|2.1 ms|unusual",
                "loss|-|0.10 %|0.01 %|",
            ]
        );
        assert!(super::rows(&json!({"baseline": null})).is_none());
        assert!(unusual(&json!({"baseline": {"quantities": [{}, 3]}})).is_empty());
    }
}
