//! Rows that forms share.

use super::*;

#[test]
fn milliseconds_are_rounded_as_in_the_text() {
    for nanos in [0, 499, 500, 100_000, 121_711, 610_134_499, 1_234_567_890, -23_000, -23_500] {
        let span = Span::from_nanos(nanos);
        let number = serde_json::to_string(&Millis(span)).unwrap();
        assert_eq!(format!("{:.3}", number.parse::<f64>().unwrap()), span.to_string());
        assert!(number.len() <= span.to_string().len(), "no more decimals: {number}");
    }
}
