//! The table of cases.

use crate::{
    configuration, delivery, envoy, headers, json, messages, operation, proof::Proof, responses, sessions,
    streams, table::prove,
};

/// Where a case runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Host {
    /// The small proxy-wasm host.
    Abi,
    /// The real Envoy.
    Envoy,
}

/// One way around the filter.
pub(crate) struct Case {
    pub(crate) number: usize,
    pub(crate) title: &'static str,
    pub(crate) host: Host,
    pub(crate) run: fn() -> Proof,
}

macro_rules! cases {
    ($($number:literal $name:ident $host:ident $title:literal $run:expr;)*) => {
        pub(crate) const CASES: &[Case] = &[
            $(Case { number: $number, title: $title, host: Host::$host, run: $run },)*
        ];
        $(#[test] fn $name() { prove($number); })*
    };
}

cases! {
    1 case_001_batches Abi "a batch with a denied call in it" messages::batches;
    2 case_002_odd_batches Abi "batches that are none, or too many" messages::odd_batches;
    3 case_003_duplicate_keys Abi "a key that stands twice" json::duplicate_keys;
    4 case_004_case_variants Abi "a reserved key in another case" json::case_variants;
    5 case_005_trailing_bytes Abi "bytes behind the document" json::trailing_bytes;
    6 case_006_other_encodings Abi "another encoding than UTF-8" json::other_encodings;
    7 case_007_invalid_utf8 Abi "bytes that are no UTF-8" json::invalid_utf8;
    8 case_008_control_characters Abi "control characters in names" json::control_characters;
    9 case_009_escaped_names Abi "names written with escapes" json::escaped_names;
    10 case_010_lookalikes Abi "names that look like an allowed one" json::lookalikes;
    11 case_011_deep_nesting Abi "deep nesting" json::deep_nesting;
    12 case_012_many_keys Abi "very many keys, very long strings" json::many_keys;
    13 case_013_odd_numbers Abi "numbers that parsers read differently" json::odd_numbers;
    14 case_014_relaxed_json Abi "comments and other relaxed syntax" json::relaxed_json;
    15 case_015_envelopes Abi "an envelope that is not JSON-RPC 2.0" messages::envelopes;
    16 case_016_odd_params Abi "params without names" messages::odd_params;
    17 case_017_odd_ids Abi "ids that are none; one id used at a time" messages::odd_ids;
    18 case_018_id_types Abi "a number and its text as ids" messages::id_types;
    19 case_019_both_at_once Abi "a message that is request and response" messages::both_at_once;
    20 case_020_calls_as_notifications Abi "a call without an id" messages::calls_as_notifications;
    21 case_021_unknown_methods Abi "a method that nobody knows" messages::unknown_methods;
    22 case_022_extra_members Abi "members beside those of the specification" json::extra_members;
    23 case_023_other_parsers Abi "a body that the backend's parser reads differently" json::other_parsers;
    24 case_024_no_body Abi "a POST without a body" delivery::no_body;
    25 case_025_byte_by_byte Abi "a body byte by byte" delivery::byte_by_byte;
    26 case_026_trailers Abi "a body that trailers end" delivery::trailers;
    27 case_027_empty_last_frame Abi "an empty last frame" delivery::empty_last_frame;
    28 case_028_too_large Abi "a body over the limit" delivery::too_large;
    29 case_029_the_proxys_own_413 Abi "a limit of Envoy itself, half-way" delivery::the_proxys_own_413;
    30 case_030_slow_bodies Envoy "a body that comes slowly" || envoy::outcome(30);
    31 case_031_lengths Envoy "lengths that contradict each other" || envoy::outcome(31);
    32 case_032_encodings Abi "a compressed body" delivery::encodings;
    33 case_033_no_content_type Abi "no content type" delivery::no_content_type;
    34 case_034_odd_content_types Abi "several content types, parameters, odd case" delivery::odd_content_types;
    35 case_035_other_content_types Abi "JSON under another type" delivery::other_content_types;
    36 case_036_expect Envoy "expect: 100-continue" || envoy::outcome(36);
    37 case_037_ranges Abi "partial bodies" delivery::ranges;
    38 case_038_bodies_of_other_methods Abi "a body on GET, DELETE, HEAD, OPTIONS" delivery::bodies_of_other_methods;
    39 case_039_other_methods Abi "other HTTP methods" delivery::other_methods;
    40 case_040_method_overrides Abi "headers that override the method" delivery::method_overrides;
    41 case_041_head Abi "HEAD" delivery::head_requests;
    42 case_042_pipelining Envoy "several requests on one connection" || envoy::outcome(42);
    43 case_043_clients_that_leave Abi "a client that leaves during a callout" delivery::clients_that_leave;
    44 case_044_duplicate_headers Abi "security headers that stand twice" headers::duplicates;
    45 case_045_binary_headers Envoy "header values that are no UTF-8" || envoy::outcome(45);
    46 case_046_underscore_twins Abi "underscores for dashes" headers::underscore_twins;
    47 case_047_internal_headers Abi "the filter's own headers from a client" headers::internal_headers;
    48 case_048_injected_headers Abi "line ends in values from the body" headers::injected_headers;
    49 case_049_paths Abi "paths that can be read in two ways" headers::paths;
    50 case_050_authorities Abi "authorities written in other ways" headers::authorities;
    51 case_051_upgrades Envoy "upgrades and CONNECT" || envoy::outcome(51);
    52 case_052_protocol_headers Abi "MCP headers that contradict the body" headers::protocol_headers;
    53 case_053_revisions Abi "unknown and doubled revisions" headers::revisions;
    54 case_054_foreign_sessions Abi "somebody else's session id" sessions::foreign_sessions;
    55 case_055_foreign_deletes Abi "ending somebody else's session" sessions::foreign_deletes;
    56 case_056_origins Abi "a foreign origin" headers::origins;
    57 case_057_authorizations Abi "several credentials, credentials in odd places" headers::authorizations;
    58 case_058_unverified_tokens Abi "a token that nobody verified before" headers::unverified_tokens;
    59 case_059_workload_identities Abi "several workload identities" headers::workload_identities;
    60 case_060_forwarded_for Abi "a forged client address" headers::forwarded_for;
    61 case_061_many_headers Abi "more headers than a host call can set" headers::many_headers;
    62 case_062_json_results Abi "results as JSON" responses::json_results;
    63 case_063_event_streams Abi "results as events" streams::event_streams;
    64 case_064_answers_elsewhere Abi "a result on another stream" sessions::answers_elsewhere;
    65 case_065_foreign_resumptions Abi "resuming somebody else's stream" sessions::foreign_resumptions;
    66 case_066_server_requests Abi "requests of the server" streams::server_requests;
    67 case_067_unasked_answers Abi "answers to nothing, twice, or both kinds" responses::unasked_answers;
    68 case_068_event_framing Abi "every way to frame an event" streams::framing;
    69 case_069_large_events Abi "an event over the limit" streams::large_events;
    70 case_070_response_types Abi "results under a wrong type" responses::response_types;
    71 case_071_compressed_results Abi "compressed results" responses::compressed_results;
    72 case_072_informational Envoy "1xx before the result" || envoy::outcome(72);
    73 case_073_empty_responses Abi "responses without a body" responses::empty_responses;
    74 case_074_early_responses Abi "a response before the verdict" responses::early_responses;
    75 case_075_redirects Abi "redirects" responses::redirects;
    76 case_076_retries Envoy "the router's retries" || envoy::outcome(76);
    77 case_077_mirrors Envoy "mirrored requests" || envoy::outcome(77);
    78 case_078_other_filters_replies Abi "replies of other filters" responses::other_filters_replies;
    79 case_079_listed_tools Abi "tools that a list names" responses::listed_tools;
    80 case_080_leaking_errors Abi "values in errors" responses::leaking_errors;
    81 case_081_response_trailers Abi "trailers behind the result" responses::response_trailers;
    82 case_082_truncated_results Envoy "a result that breaks off" || envoy::outcome(82);
    83 case_083_grpc Abi "gRPC" responses::grpc;
    84 case_084_traps Abi "making the module trap" operation::traps;
    85 case_085_long_loops Abi "making the module work for long" operation::long_loops;
    86 case_086_bad_callouts Abi "wrong and missing answers of the companion" operation::bad_callouts;
    87 case_087_amplified_callouts Abi "many callouts for little" operation::amplified_callouts;
    88 case_088_not_loaded Abi "no policy loaded" configuration::not_loaded;
    89 case_089_bad_configurations Abi "empty and wrong configurations" configuration::bad_configurations;
    90 case_090_updates Abi "a new policy while streams are open" configuration::updates;
    91 case_091_module_not_fetched Abi "the module cannot be fetched" configuration::module_not_fetched;
    92 case_092_not_installed Abi "the filter is installed in part, or not at all" configuration::not_installed;
    93 case_093_changed_routes Envoy "another route after the verdict" || envoy::outcome(93);
    94 case_094_poisoned_shared_state Abi "state that another plugin writes" operation::poisoned_shared_state;
    95 case_095_log_injection Abi "writing into the log" operation::log_injection;
    96 case_096_metric_names Abi "making metrics" operation::metric_names;
    97 case_097_clocks Abi "a token past its time" operation::clocks;
    98 case_098_logs_without_requests Abi "callbacks for streams that never began" operation::logs_without_requests;
    99 case_099_double_answers Abi "two answers to one request" operation::double_answers;
    100 case_100_interleaving Abi "many streams at a time" operation::interleaving;
}
