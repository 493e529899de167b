from slotzero.solana.endpoints import Witness
from slotzero.units import BlockHeight, Slot

FRESH, LAGGING = 0, 1


def height(value: int) -> BlockHeight:
    return BlockHeight(value)


def test_endpoint_without_a_block_of_its_own_is_no_witness() -> None:
    witness = Witness()
    assert witness.proof(LAGGING) is None


def test_endpoint_below_the_told_height_is_no_witness_until_it_has_come_so_far() -> None:
    witness = Witness()
    witness.tell(height(200))
    witness.prove(FRESH, height(200), Slot(230))
    witness.prove(LAGGING, height(199), Slot(229))
    assert witness.proof(FRESH) is not None
    assert witness.proof(LAGGING) is None
    witness.prove(LAGGING, height(201), Slot(231))
    assert witness.proof(LAGGING) is not None


def test_answer_of_an_older_slot_than_the_proof_denies_nothing() -> None:
    # Behind a load balancer: one node has reported the block, another has answered.
    witness = Witness()
    witness.tell(height(200))
    witness.prove(FRESH, height(200), Slot(230))
    proof = witness.proof(FRESH)
    assert proof is not None
    assert [witness.may_deny(proof, Slot(slot)) for slot in (229, 230, 231)] == [False, True, True]


def test_height_told_while_the_question_was_under_way_makes_the_answer_too_old() -> None:
    witness = Witness()
    witness.tell(height(200))
    witness.prove(FRESH, height(200), Slot(230))
    proof = witness.proof(FRESH)
    assert proof is not None
    witness.tell(height(201))
    assert not witness.may_deny(proof, Slot(240))
    witness.prove(FRESH, height(201), Slot(231))
    assert not witness.may_deny(proof, Slot(240))  # it was reported after the look


def test_told_height_never_falls_and_a_node_that_steps_back_loses_its_proof() -> None:
    witness = Witness()
    witness.tell(height(200))
    witness.tell(height(150))
    assert witness.told == 200
    witness.prove(FRESH, height(210), Slot(240))
    witness.prove(FRESH, height(120), Slot(150))
    assert witness.proof(FRESH) is None
