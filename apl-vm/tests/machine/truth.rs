//! The rules of `&`, `|` and `!` over all values.

use apl_vm::Truth::{self, Error, False, Fault, True, Unknown};

const ALL: [Truth; 5] = [True, False, Unknown, Error, Fault];

/// What evaluation from left to right with short circuit gives, where nothing is unknown; errors are absorbed by either
/// side, faults by none.
fn evaluated(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Fault, _) => Fault,
        (False, _) => False,
        (_, Fault) => Fault,
        (_, False) => False,
        (Error, _) | (_, Error) => Error,
        _ => True,
    }
}

/// What something unknown may turn out to be.
fn may_be(value: Truth) -> Vec<Truth> {
    match value {
        Unknown => vec![True, False, Error],
        value => vec![value],
    }
}

#[test]
fn and_evaluates_from_left_to_right() {
    for left in [True, False, Error, Fault] {
        for right in [True, False, Error, Fault] {
            assert_eq!(left.and(right), evaluated(left, right), "{left:?} & {right:?}");
        }
    }
}

#[test]
fn a_fault_on_the_left_is_never_absorbed_nor_inverted() {
    for right in ALL {
        assert_eq!(Fault.and(right), Fault, "& {right:?}");
        assert_eq!(Fault.or(right), Fault, "| {right:?}");
    }
    assert_eq!(Fault.not(), Fault);
    assert_eq!(True.and(Fault), Fault);
    assert_eq!(False.or(Fault), Fault);
}

#[test]
fn a_fault_that_is_not_evaluated_does_nothing() {
    assert_eq!(False.and(Fault), False);
    assert_eq!(True.or(Fault), True);
}

#[test]
fn or_is_the_mirror_image_of_and() {
    for left in ALL {
        for right in ALL {
            assert_eq!(
                left.or(right),
                left.not().and(right.not()).not(),
                "{left:?} | {right:?}"
            );
        }
    }
}

#[test]
fn what_is_decided_with_something_unknown_holds_whatever_it_turns_out_to_be() {
    for left in ALL {
        for right in ALL {
            let decided = left.and(right);
            if decided == Unknown {
                continue;
            }
            for a in may_be(left) {
                for b in may_be(right) {
                    assert_eq!(evaluated(a, b), decided, "{left:?} & {right:?} as {a:?} & {b:?}");
                }
            }
        }
    }
}

#[test]
fn a_fault_in_the_place_of_any_operand_gives_a_fault_or_what_was_found_without_it() {
    // The probe relies on this: an order comparison of what is not known is taken for unknown.
    for left in [True, False, Error] {
        for right in [True, False, Error] {
            for replaced in [Fault.and(right), left.and(Fault), Fault.and(Fault)] {
                assert!(
                    replaced == Fault || replaced == left.and(right),
                    "{left:?} & {right:?}: {replaced:?}"
                );
            }
        }
    }
}
