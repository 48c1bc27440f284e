//! The groups' constants, proven rather than believed, and the refusals of RFC 6989.

use super::*;
use crate::SeededRng;
use crypto_bigint::Resize;

const GROUPS: [Group; 10] = [
    Group::Modp1024,
    Group::Modp1536,
    Group::Modp2048,
    Group::Modp3072,
    Group::Modp4096,
    Group::Modp6144,
    Group::Modp8192,
    Group::Modp1024S160,
    Group::Modp2048S224,
    Group::Modp2048S256,
];

/// π in fixed point by Machin's formula, 16·arctan(1/5) − 4·arctan(1/239): words of 64 bits, the integer part first.
fn pi(fraction_words: usize) -> Vec<u64> {
    let divide = |number: &mut [u64], divisor: u64| {
        let mut remainder = 0;
        for word in number {
            let dividend = remainder << 64 | u128::from(*word);
            *word = (dividend / u128::from(divisor)) as u64;
            remainder = dividend % u128::from(divisor);
        }
    };
    let mut sum = vec![0_u64; fraction_words + 1];
    for (factor, x, negative) in [(16, 5, false), (4, 239, true)] {
        let mut power = vec![0_u64; fraction_words + 1];
        power[0] = factor;
        divide(&mut power, x);
        let mut negative = negative;
        for n in (1..).step_by(2) {
            if power.iter().all(|word| *word == 0) {
                break;
            }
            let mut term = power.clone();
            divide(&mut term, n);
            let mut carry = false;
            for (sum, term) in sum.iter_mut().zip(&term).rev() {
                let (first, one) = if negative { sum.overflowing_sub(*term) } else { sum.overflowing_add(*term) };
                let carried = u64::from(carry);
                let (second, two) =
                    if negative { first.overflowing_sub(carried) } else { first.overflowing_add(carried) };
                (*sum, carry) = (second, one || two);
            }
            divide(&mut power, x * x);
            negative = !negative;
        }
    }
    sum
}

#[test]
fn the_moduli_of_groups_2_5_and_14_to_18_are_what_their_formula_says() {
    // p = 2^n − 2^(n−64) − 1 + 2^64 · ([2^(n−130) π] + k), RFC 7296 appendix B.2 and RFC 3526 §2 to §7. In words: all
    // ones, then [2^(n−130) π] + k − 1, then all ones.
    let pi = pi(130);
    let cases = [
        (Group::Modp1024, 129_093),
        (Group::Modp1536, 741_804),
        (Group::Modp2048, 124_476),
        (Group::Modp3072, 1_690_314),
        (Group::Modp4096, 240_904),
        (Group::Modp6144, 929_484),
        (Group::Modp8192, 4_743_158),
    ];
    for (group, k) in cases {
        let words = group.public_len() / 8;
        // π · 2^(n−128), rounded down, then divided by 4: the integer part, 3, vanishes.
        let mut middle: Vec<u64> = pi.windows(2).take(words - 2).map(|pair| pair[0] << 62 | pair[1] >> 2).collect();
        let mut carry = k - 1;
        for word in middle.iter_mut().rev() {
            let (sum, overflow) = word.overflowing_add(carry);
            (*word, carry) = (sum, u64::from(overflow));
        }
        let expected: Vec<u8> =
            [vec![u64::MAX], middle, vec![u64::MAX]].concat().into_iter().flat_map(u64::to_be_bytes).collect();
        let field = Field::of(group).unwrap();
        assert_eq!(field.params.modulus().as_ref().to_be_bytes().to_vec(), expected, "{group:?}");
        assert_eq!(field.generator, [vec![0; expected.len() - 1], vec![2]].concat(), "{group:?}");
    }
}

/// Miller-Rabin with the bases 2, 3 and 5.
fn is_probably_prime(number: &BoxedUint) -> bool {
    let params = BoxedMontyParams::new_vartime(Odd::new(number.clone()).into_option().unwrap());
    let bits = number.bits_precision();
    let one = BoxedMontyForm::one(&params);
    let minus_one = -&one;
    let less_one = number.wrapping_sub(BoxedUint::one_with_precision(bits));
    let twos = less_one.trailing_zeros();
    let odd = less_one.shr(twos);
    [2_u8, 3, 5].into_iter().all(|base| {
        let base = BoxedMontyForm::new(BoxedUint::from(base).resize(bits), &params);
        let mut power = base.pow(&odd);
        if power.retrieve() == one.retrieve() {
            return true;
        }
        (0..twos).any(|_| {
            let found = power.retrieve() == minus_one.retrieve();
            power = power.square();
            found
        })
    })
}

#[test]
fn every_modulus_and_every_subgroup_order_is_prime() {
    for group in GROUPS {
        let field = Field::of(group).unwrap();
        let modulus = field.params.modulus().as_ref().clone();
        assert!(is_probably_prime(&modulus), "{group:?}: p");
        // The order is q where RFC 5114 gives one; the others are safe primes, p = 2q + 1.
        let order = match &field.order {
            Some(order) => integer(order.expose(), 8 * order.len() as u32),
            None => modulus.shr(1),
        };
        assert!(is_probably_prime(&order), "{group:?}: q");
        // The generator has that order: g^q = 1, and g is not 1.
        let order = SecretBytes::from(order.to_be_bytes().into_vec());
        let power = field.pow(&field.generator, &order);
        assert!(is_zero_or_one(&power) && power.last() == Some(&1), "{group:?}: g^q");
        assert!(!is_zero_or_one(&field.generator), "{group:?}: g");
    }
}

fn refusal(group: Group, public: &[u8]) -> Option<&'static str> {
    let exchange = ModpExchange::new(group, &mut SeededRng::new(1)).unwrap();
    match Box::new(exchange).agree(public) {
        Ok(secret) => {
            assert_eq!(secret.len(), group.secret_len());
            None
        }
        Err(CryptoError::BadPublicValue { group: named, reason }) => {
            assert_eq!(named, group);
            Some(reason)
        }
        Err(other) => panic!("{other}"),
    }
}

/// `number` + `delta`, of the same length.
fn plus(number: &[u8], delta: i64) -> Vec<u8> {
    let bits = 8 * number.len() as u32;
    let delta_value = BoxedUint::from(delta.unsigned_abs()).resize(bits);
    let number = integer(number, bits);
    let sum = if delta < 0 { number.wrapping_sub(delta_value) } else { number.wrapping_add(delta_value) };
    sum.to_be_bytes().into_vec()
}

#[test]
fn public_values_outside_1_to_p_minus_1_are_refused() {
    // RFC 6989 §2.1.
    for group in GROUPS {
        let modulus = plus(&Field::of(group).unwrap().modulus_minus_one, 1);
        let zero = vec![0; modulus.len()];
        let refused = [
            zero.clone(),
            plus(&zero, 1),
            plus(&modulus, -1),
            modulus.clone(),
            plus(&modulus, 1),
            vec![255; modulus.len()],
        ];
        for public in refused {
            assert_eq!(refusal(group, &public), Some("it is out of range"), "{group:?} {:?}", public.last());
        }
        let smallest = plus(&zero, 2);
        let largest = plus(&modulus, -2);
        let expected =
            Field::of(group).unwrap().order.is_some().then_some("it is outside the group's prime-order subgroup");
        assert_eq!(refusal(group, &smallest), expected, "{group:?}: 2");
        assert_eq!(refusal(group, &largest), expected, "{group:?}: p - 2");
    }
}

#[test]
fn public_values_of_another_length_are_refused() {
    for group in GROUPS {
        let public = ModpExchange::new(group, &mut SeededRng::new(2)).unwrap().public;
        assert_eq!(refusal(group, &public), None, "{group:?}");
        for wrong in [&public[..0], &public[1..], &public[..public.len() - 1], &[vec![0], public.clone()].concat()] {
            assert_eq!(refusal(group, wrong), Some("its length is not the group's"), "{group:?}");
        }
    }
}

#[test]
fn a_value_of_a_small_subgroup_is_refused_in_groups_22_to_24() {
    // RFC 6989 §2.2: h = 3^((p−1)/r) has the small order r, and would give away our exponent modulo r.
    for group in [Group::Modp1024S160, Group::Modp2048S224, Group::Modp2048S256] {
        let field = Field::of(group).unwrap();
        let less_one = integer(&field.modulus_minus_one, field.bits);
        let mut tried = 0;
        for divisor in [2_u64, 3, 5, 7, 11, 13] {
            let divisor_value = BoxedUint::from(divisor).resize(field.bits).to_nz().into_option().unwrap();
            let (quotient, remainder) = less_one.div_rem(&divisor_value);
            if !bool::from(remainder.is_zero()) {
                continue;
            }
            let three = plus(&vec![0; field.modulus_minus_one.len()], 3);
            let small = field.pow(&three, &quotient.to_be_bytes().into_vec().into());
            if is_zero_or_one(&small) || *small == field.modulus_minus_one {
                continue;
            }
            tried += 1;
            assert_eq!(
                refusal(group, &small),
                Some("it is outside the group's prime-order subgroup"),
                "{group:?}, order {divisor}"
            );
        }
        assert!(tried > 0, "{group:?} has no small subgroup to try");
    }
}

#[test]
fn exponents_stay_below_the_subgroup_order_and_a_broken_generator_is_found_out() {
    struct Stuck(u8);
    impl Rng for Stuck {
        fn fill(&mut self, dest: &mut [u8]) {
            dest.fill(self.0);
        }
    }
    let mut rng = SeededRng::new(3);
    for group in GROUPS {
        let field = Field::of(group).unwrap();
        for _ in 0..200 {
            let exponent = field.draw_exponent(&mut rng).unwrap();
            assert_eq!(8 * exponent.len(), field.exponent_bits);
            if let Some(order) = &field.order {
                assert!(exponent.expose() < order.expose(), "{group:?}");
            }
        }
        assert!(field.draw_exponent(&mut Stuck(0)).is_none(), "{group:?}");
        assert_eq!(field.draw_exponent(&mut Stuck(255)).is_none(), field.order.is_some(), "{group:?}");
    }
}

#[test]
fn constant_time_comparisons_agree_with_ordinary_ones() {
    let mut rng = SeededRng::new(4);
    for _ in 0..2000 {
        // Few distinct octets, so that long common prefixes occur.
        let draw = |rng: &mut SeededRng| (0..3).map(|_| [0, 1, 254, 255][rng.below(4) as usize]).collect::<Vec<u8>>();
        let (a, b) = (draw(&mut rng), draw(&mut rng));
        assert_eq!(is_less(&a, &b), a < b, "{a:?} {b:?}");
        assert_eq!(is_zero_or_one(&a), a[..2] == [0, 0] && a[2] <= 1, "{a:?}");
    }
    assert!(is_zero_or_one(&[]));
}
