"""Which tests play each row of the table in docs/troubleshooting.md, by its theme.

Names are those of this folder, or paths from ``tests/``.
"""

from __future__ import annotations

from collections.abc import Mapping

ROWS: Mapping[str, tuple[str, ...]] = {
    "Old or bad checkpoint": (
        "test_starting.py::test_an_old_root_is_brought_to_the_head_range_by_range",
        "test_starting.py::test_a_root_that_is_too_old_ends_the_client_with_a_reason",
        "test_starting.py::test_a_root_of_another_network_ends_the_client_with_a_reason",
        "test_starting.py::test_a_bootstrap_of_another_block_is_refused_and_the_next_provider_asked",
    ),
    "Bootstrap cannot be fetched": (
        "test_starting.py::test_each_reason_for_a_missing_bootstrap_is_told_apart",
    ),
    "Checkpoint sources": (
        "test_starting.py::test_a_quorum_is_found_among_dead_odd_and_lagging_sources",
        "transports/test_checkpoints.py::test_bad_entries_of_a_list_of_slots_are_left_out",
    ),
    "Weak subjectivity period": (
        "test_starting.py::test_the_weak_subjectivity_period_follows_from_the_configuration",
        "test_starting.py::test_a_root_older_than_that_is_refused_unless_one_insists",
    ),
    "Resume": (
        "test_chain.py::test_after_a_restart_it_goes_on_without_a_bootstrap",
        "storage/test_kills.py::test_killed_at_any_moment_it_leaves_what_was_confirmed",
    ),
    "No light client endpoints": (
        "test_starting.py::test_without_light_client_endpoints_the_next_provider_helps",
        (
            "test_starting.py::"
            "test_with_no_provider_that_has_light_client_endpoints_the_client_says_so"
        ),
    ),
    "The only provider is down": (
        "test_providers.py::test_a_dead_provider_is_passed_over_and_named",
        "test_providers.py::test_when_the_one_in_use_goes_down_another_takes_over_and_back",
        "test_providers.py::test_with_every_provider_down_the_client_waits_and_makes_nothing_up",
    ),
    "Missing updates and caps": (
        "test_providers.py::test_short_and_overlong_ranges_still_lead_to_the_head",
        "test_providers.py::test_a_gap_is_filled_by_another_provider",
        "test_providers.py::test_an_error_for_the_unborn_period_does_not_hide_the_others",
    ),
    "Timeouts and 429": (
        "test_providers.py::test_the_pause_that_a_server_asks_for_is_kept",
        "test_providers.py::test_a_pause_of_years_is_cut_and_others_are_asked_meanwhile",
        "test_providers.py::test_a_slow_provider_does_not_hold_the_client_up",
    ),
    "Wrong data from servers": (
        "test_answers.py::test_a_lie_is_refused_by_its_rule_and_costs_the_liar_alone",
        "test_answers.py::test_with_liars_alone_nothing_false_is_ever_shown",
        "test_answers.py::test_a_branch_of_another_forks_length_is_not_decoded",
        "test_answers.py::test_stale_data_moves_nothing_backwards",
    ),
    "Missing or odd versions": (
        "test_answers.py::test_labels_that_are_missing_or_odd_do_no_harm",
        "test_answers.py::test_a_version_header_that_lies_does_no_harm",
    ),
    "Fork digests": (
        "test_answers.py::test_digests_with_and_without_blob_parameters_are_understood",
    ),
    "Few signatures": (
        (
            "test_chain.py::"
            "test_a_second_finality_update_with_more_signers_finalizes_what_the_first_could_not"
        ),
        "test_chain.py::test_every_header_says_how_many_signed_it",
    ),
    "Finality stops": (
        "test_chain.py::test_without_finality_the_head_is_followed_and_the_lag_is_told",
        "test_chain.py::test_going_on_without_finality_is_the_users_choice",
    ),
    "Clock": (
        "test_chain.py::test_a_slow_clock_is_told_and_nobody_is_blamed_for_it",
        "test_chain.py::test_a_clock_that_is_hours_off_is_measured_against_servers",
        "test_providers.py::test_an_object_from_the_future_is_no_lie_by_itself",
    ),
    "Stale data": ("test_chain.py::test_old_headers_are_not_handed_out_as_new",),
    "Memory and hangs": (
        "test_chain.py::test_stopping_is_quick_whatever_hangs",
        "test_chain.py::test_a_flood_of_duplicates_and_lies_leaves_memory_as_it_was",
    ),
    "Event streams": (
        "test_providers.py::test_pushed_updates_are_understood_bare_and_in_an_envelope",
        "test_providers.py::test_without_an_event_stream_the_head_is_polled",
    ),
    "Peers": ("test_providers.py::test_any_transport_of_ones_own_will_do",),
    "Others blamed for our lag": (
        "test_providers.py::test_after_a_long_sleep_nobody_is_blamed_for_what_we_did_not_know",
    ),
    "Hard forks": (
        "test_chain.py::test_every_known_fork_is_crossed_while_following",
        "test_chain.py::test_a_fork_that_this_version_does_not_know_is_told_before_it_comes",
        "test_chain.py::test_what_a_server_announces_changes_no_schedule",
    ),
    "Gnosis": (
        "test_chain.py::test_slots_epochs_and_periods_of_any_length_are_followed",
        "test_chain.py::test_no_code_of_the_library_assumes_mainnets_numbers",
    ),
    "Bindings": (
        "test_values.py::test_the_public_face_is_typed_throughout",
        "test_values.py::test_without_a_root_to_start_from_there_is_no_client",
    ),
    "Packaging": (
        (
            "test_packaging.py::"
            "test_the_wheel_runs_the_demo_and_everything_else_in_an_empty_environment"
        ),
    ),
    "Unverified values": (
        "test_values.py::test_the_client_hands_out_no_object_as_a_server_sent_it",
        "test_values.py::test_every_value_of_a_header_is_what_the_chain_holds_or_none",
    ),
    "eth_getProof limits": (
        "test_values.py::test_what_is_not_there_is_not_half_there",
        "test_values.py::test_every_value_of_a_header_is_what_the_chain_holds_or_none",
    ),
    "History": ("test_values.py::test_every_finalized_header_of_a_history_is_told_in_order",),
}
