//! The tests of this crate that need two endpoints, or its public surface: one program, for what they share is large and
//! compiled once. `flood` stands alone, since it counts what the whole program allocates.

mod support;

mod child_rekey;
mod connect;
mod crossings;
mod cve_classes;
mod hostile;
mod ike_rekey;
mod keys_known_answers;
mod lifecycle;
mod messages;
mod model_check;
mod mutation;
mod nat;
mod quirks;
mod refusals;
mod rekey_plain;
mod three_days;
mod unauthenticated;
mod v1_agreement;
mod v1_connect;
mod v1_lifecycle;
mod v1_proposals;
mod v1_rekey;
mod v1_wire;
mod wire_codec;
mod wire_identity;
mod wire_proposals;
mod wire_sk;

#[test]
fn every_file_of_tests_is_in_this_program() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let files = std::fs::read_dir(folder).expect("the folder of this file").flatten();
    let names = files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned));
    for name in names.filter(|name| !["main", "flood"].contains(&name.as_str())) {
        assert!(
            include_str!("main.rs").contains(&format!("\nmod {name};\n")),
            "{name}.rs is not listed: nothing runs it"
        );
    }
}
