//! The Responses interface of the provider `openai` against an independent server from npm (`tests/peers`).

use crate::common::conformance;
use crate::common::servers::RESPONSES;

#[test]
fn answer_is_streamed_and_conversation_is_sent_back() {
    conformance::plain(&RESPONSES);
}

#[test]
fn calls_are_streamed_and_their_results_come_back_in_order() {
    conformance::tools(&RESPONSES);
}

#[test]
fn a_slow_answer_is_waited_for() {
    conformance::delays(&RESPONSES);
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    conformance::disconnects(&RESPONSES);
}

#[test]
fn error_kind_follows_the_status() {
    conformance::errors(&RESPONSES);
}

#[test]
fn nonsense_and_errors_within_an_answer_are_never_printed_as_one() {
    conformance::malformed(&RESPONSES);
}

#[test]
fn random_failures_of_the_server_never_end_in_a_wrong_answer() {
    conformance::chaos(&RESPONSES);
}
