//! Which readings pass for numbers.

use eosdb::Error;
use eosdb::series::{Cell, numbers};

use super::ask::text;

fn of(cells: &[Cell]) -> Option<Vec<f64>> {
    numbers(cells).expect("no text")
}

#[test]
fn numbers_truth_values_and_nothing_are_numbers() {
    let values = of(&[Cell::Float(1.5), Cell::Int(-2), Cell::Bool(true), Cell::Bool(false)]);
    assert_eq!(values, Some(vec![1.5, -2.0, 1.0, 0.0]));
    let nothing = of(&[Cell::None, Cell::Float(f64::NAN)]).expect("numbers");
    assert!(nothing.iter().all(|value| value.is_nan()), "{nothing:?}");
    assert_eq!(of(&[]), Some(vec![]));
    assert_eq!(of(&[Cell::Int(i64::MAX)]), Some(vec![9_223_372_036_854_775_807.0]));
}

#[test]
fn one_other_value_makes_all_of_them_values() {
    for other in [text("unavailable"), Cell::EmptyDict, Cell::Other, text("nan"), text("")] {
        assert_eq!(of(&[Cell::Float(1.0), other.clone(), Cell::Int(2)]), None, "{other:?}");
        assert_eq!(of(&[text("1"), other.clone()]), None, "{other:?}");
    }
}

#[test]
fn text_that_pandas_parses_is_refused() {
    for parsed in [
        "1",
        "+1",
        "-1.5",
        ".5",
        "1.",
        " 1 ",
        "\t1\n",
        "1e5",
        "1E-5",
        "1e 5",
        "1e +5",
        "00012",
        "1e400",
        "inf",
        "-INF",
        "+Infinity",
    ] {
        for cells in [vec![text(parsed)], vec![Cell::Float(1.0), text(parsed), Cell::None]] {
            assert!(matches!(numbers(&cells), Err(Error::Type(_))), "{parsed:?}");
        }
    }
}

#[test]
fn other_text_is_no_number() {
    for other in [
        "", " ", ".", "+", "e5", "1e", "1e+", "1 e5", "1_000", "1,5", "0x10", "1 2", "--1", "+-1",
        "1.5.2", "nan", "-nan", "None", "inf ", " inf", "infinit", "1\0", "1f", "1\u{a0}", "١",
    ] {
        assert_eq!(of(&[text(other)]), None, "{other:?}");
    }
}
