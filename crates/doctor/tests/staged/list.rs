//! Where each code is staged: a test that breaks exactly that thing and asserts that the code comes first. The list is
//! complete, and what it names exists.

use doctor::Code;
use doctor::catalogue::*;
use doctor::code::Seen;

/// Where.
enum Where {
    /// A test of this program: two engines on a simulated network.
    Simulated(&'static str),
    /// A test of `crates/underpass/tests/doctor.rs`: the command on real files, ports and privileges.
    Command(&'static str),
    /// A lab in network namespaces.
    Lab(&'static str),
    /// Only by evidence made by hand (`tests/rules.rs`), and why.
    ByHand(&'static str),
}
use Where::{ByHand, Command, Lab, Simulated};

const STAGED: &[(Code, Where)] = &[
    (CFG_01, Command("a_configuration_that_cannot_be_loaded_is_cfg_01")),
    (CFG_02, Command("a_port_that_another_program_has_is_cfg_02_with_its_owner")),
    (CFG_03, Command("without_the_right_to_make_interfaces_it_is_cfg_03")),
    (CFG_04, Simulated("packets_from_an_address_that_nobody_names_are_cfg_04")),
    (CFG_05, Simulated("one_tunnel_of_a_connection_that_should_have_two_is_cfg_05")),
    (CFG_06, Simulated("two_ends_that_only_answer_are_cfg_06")),
    (CFG_07, Command("a_gateway_that_does_not_run_is_cfg_07")),
    (CFG_08, Simulated("an_operator_who_took_it_down_is_cfg_08")),
    (CFG_10, Command("secrets_that_are_missing_are_cfg_10_and_those_open_to_others_cfg_11_and_none_is_shown")),
    (CFG_11, Command("secrets_that_are_missing_are_cfg_10_and_those_open_to_others_cfg_11_and_none_is_shown")),
    (CFG_12, Simulated("weak_algorithms_in_use_are_cfg_12_and_no_fault")),
    (CFG_13, Command("two_connections_for_the_same_traffic_are_cfg_13")),
    (CFG_14, Command("a_route_that_leads_the_tunnel_into_itself_is_cfg_14")),
    (CFG_15, Command("values_that_do_not_fit_together_are_cfg_15")),
    (NET_01, Simulated("nothing_passes_is_net_01_while_it_still_tries_and_when_it_has_failed")),
    (NET_02, Simulated("only_the_way_back_is_blocked_is_net_02_with_the_far_ends_evidence")),
    (NET_03, Simulated("port_4500_blocked_is_net_03")),
    (NET_04, Simulated("large_messages_vanish_is_net_04")),
    (NET_05, Lab("doctor_a_router_that_prohibits_ike_is_net_05")),
    (NET_06, Simulated("a_nat_that_forgets_its_mappings_is_net_06")),
    (NET_07, Simulated("a_peer_that_moved_is_net_07")),
    (NET_08, Command("a_clock_that_is_behind_its_own_files_is_net_08")),
    (NET_09, Simulated("no_address_towards_the_peer_is_net_09")),
    (IKE_01, Simulated("versions_that_differ_are_ike_01_at_both_ends")),
    (IKE_02, Simulated("groups_that_differ_are_ike_02_with_the_field_that_differs")),
    (IKE_03, Simulated("a_peer_that_wants_a_group_that_is_not_offered_is_ike_03")),
    (IKE_04, Simulated("keys_that_differ_are_ike_04_at_both_ends_in_both_versions")),
    (IKE_05, Simulated("a_name_that_is_not_expected_is_ike_05_with_both_names")),
    (IKE_07, Simulated("aggressive_mode_against_main_mode_is_ike_07")),
    (IKE_08, Simulated("a_peer_that_stops_after_the_first_answer_is_ike_08")),
    (IKE_09, Simulated("too_many_negotiations_at_once_are_ike_09")),
    (IKE_10, Simulated("a_peer_that_stops_answering_is_ike_10_also_when_nothing_is_heard_of_it_later")),
    (IKE_11, Simulated("a_peer_that_closes_on_purpose_is_ike_11")),
    (IKE_12, Simulated("rekeys_that_collide_again_and_again_are_ike_12")),
    (IKE_13, Simulated("an_sa_that_ends_before_its_rekey_succeeds_is_ike_13")),
    (IKE_14, Simulated("a_replaced_end_that_nobody_calls_is_ike_14")),
    (IKE_15, ByHand("no peer of ours refuses without a cause that has its own code")),
    (IKE_16, ByHand("no peer of ours demands XAUTH or mode config")),
    (CHD_01, Simulated("algorithms_of_phase_2_that_differ_are_chd_01_at_both_ends")),
    (CHD_02, Simulated("forward_secrecy_that_differs_is_chd_02_at_the_first_rekey")),
    (CHD_03, Simulated("networks_that_do_not_meet_are_chd_03_with_both")),
    (CHD_04, Simulated("sas_that_replace_each_other_every_few_seconds_are_chd_04")),
    (CHD_05, Simulated("extended_sequence_numbers_at_one_end_alone_are_chd_05")),
    (CHD_06, Simulated("a_tunnel_that_nobody_asked_for_is_chd_06_and_no_fault")),
    (CHD_07, Simulated("a_peer_that_grants_less_is_chd_07_with_both_lists")),
    (CHD_08, ByHand("no peer of ours refuses a child without a cause that has its own code")),
    (ESP_01, Simulated("protocol_50_blocked_is_esp_01")),
    (ESP_02, Simulated("a_peer_that_receives_and_sends_nothing_is_esp_02")),
    (ESP_03, Simulated("a_truncation_that_differs_is_esp_03_with_what_to_set")),
    (ESP_04, Simulated("packets_reordered_beyond_the_window_are_esp_04")),
    (ESP_05, Simulated("a_peer_that_uses_the_keys_of_before_a_restart_is_esp_05")),
    (ESP_06, Simulated("traffic_outside_the_selectors_is_esp_06")),
    (RTE_01, Lab("doctor_a_route_that_leads_elsewhere_is_rte_01")),
    (RTE_02, Lab("doctor_a_network_in_use_at_both_sites_is_rte_02")),
    (RTE_03, Lab("doctor_a_host_that_does_not_forward_is_rte_03")),
    (RTE_04, ByHand("both ends of ours prefer the same tunnel; a peer that does not is another vendor's")),
    (RTE_06, Lab("doctor_inside_addresses_that_collide_are_rte_06")),
    (NAT_01, Lab("doctor_masquerading_into_the_tunnel_is_nat_01")),
    (MTU_01, Lab("doctor_a_path_that_swallows_large_packets_is_mtu_01")),
    (MTU_02, Lab("doctor_an_outside_link_that_is_narrower_is_mtu_02")),
    (FW_01, Lab("doctor_a_filter_before_the_tunnel_is_fw_01")),
    (PERF_01, ByHand("what a queue drops depends on the machine's load, which no test asserts")),
    (PERF_02, Simulated("a_way_that_becomes_longer_than_it_was_is_perf_02")),
    (PERF_03, Simulated("traffic_that_stops_at_an_hour_that_had_much_is_perf_03")),
];

const SIMULATED: &[&str] = &[
    include_str!("child.rs"),
    include_str!("configuration.rs"),
    include_str!("esp.rs"),
    include_str!("ike.rs"),
    include_str!("network.rs"),
    include_str!("normal.rs"),
];
const COMMAND: &str = include_str!("../../../underpass/tests/doctor.rs");
const LABS: &str = include_str!("../../../../interop/src/labs/pair/doctor.rs");

#[test]
fn every_code_is_staged_or_says_why_it_cannot_be() {
    let mut staged = 0;
    for entry in doctor::catalogue::entries() {
        let rows: Vec<&Where> = STAGED.iter().filter(|(code, _)| *code == entry.code).map(|(_, place)| place).collect();
        match (entry.seen, rows.as_slice()) {
            (Seen::ElsewhereOnly(_), []) => continue,
            (Seen::Here, [place]) => {
                let exists = |text: &str, name: &str| text.contains(&format!("fn {name}("));
                let found = match place {
                    Simulated(name) => SIMULATED.iter().any(|text| exists(text, name)),
                    Command(name) => exists(COMMAND, name),
                    Lab(name) => LABS.contains(&format!("\"{name}\"")),
                    ByHand(why) => why.len() > 20,
                };
                assert!(found, "{}: what the list names does not exist", entry.code);
                staged += usize::from(!matches!(place, ByHand(_)));
            }
            (_, rows) => panic!("{} has {} rows", entry.code, rows.len()),
        }
    }
    assert!(staged >= 40, "{staged} codes are staged");
    println!("{staged} codes are staged");
}
