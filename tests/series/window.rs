//! What has to be read for a window.

use std::convert::Infallible;

use eosdb::Span;
use eosdb::series::{Boundary, Query, Window};

const SECOND: i64 = 1_000_000;

/// The query of a window beside records at 100 s and 200 s, and what it asked for.
fn query(window: Window) -> (Query, Vec<(i64, bool)>) {
    let mut asked = Vec::new();
    let query = window.query(|second, backwards| {
        asked.push((second, backwards));
        let mut records = [100, 200].into_iter();
        Ok::<_, Infallible>(if backwards {
            records.rfind(|record| *record < second)
        } else {
            records.find(|record| *record > second)
        })
    });
    let Ok(query) = query;
    (query, asked)
}

fn window(start: Option<i64>, end: Option<i64>, boundary: Boundary) -> Window {
    Window { start, end, boundary }
}

#[test]
fn strict_reads_what_is_asked_for() {
    let (query, asked) = query(window(Some(150), Some(160), Boundary::Strict));
    assert_eq!(query, Query { start: Some(150), end: Some(160) });
    assert_eq!(asked, []);
}

#[test]
fn context_reaches_to_the_records_on_either_side() {
    let inside = window(Some(120 * SECOND), Some(180 * SECOND), Boundary::Context);
    let (query, asked) = query(inside);
    assert_eq!(query, Query { start: Some(100 * SECOND), end: Some(201 * SECOND) });
    assert_eq!(query.span(), Span::new(100, 201));
    assert_eq!(asked, [(120, true), (180, false)]);
}

#[test]
fn context_without_neighbors_includes_the_end() {
    let around = window(Some(100 * SECOND), Some(200 * SECOND), Boundary::Context);
    assert_eq!(
        query(around).0,
        Query { start: Some(100 * SECOND), end: Some(201 * SECOND) },
        "records at the bounds are no neighbors"
    );
}

#[test]
fn bounds_within_a_second_count_from_its_beginning() {
    let (query, asked) = query(window(Some(-1), Some(200 * SECOND + 1), Boundary::Context));
    assert_eq!(asked, [(-1, true), (200, false)]);
    assert_eq!(query, Query { start: Some(-1), end: Some(201 * SECOND + 1) });
    assert_eq!(query.span(), Span::new(-1, 201));
}

#[test]
fn no_bounds_read_everything() {
    let (query, asked) = query(window(None, None, Boundary::Context));
    assert_eq!((query.span(), asked), (Span::ALL, vec![]));
}

#[test]
fn an_error_of_the_neighbors_is_passed_on() {
    let bounded = window(Some(0), Some(1), Boundary::Context);
    assert_eq!(bounded.query(|_, _| Err("no")), Err("no"));
    assert_eq!(
        bounded.query(|_, backwards| if backwards { Ok(None) } else { Err("no") }),
        Err("no")
    );
}
