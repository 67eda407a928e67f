"""What the MQTT link decides without a broker: batches, drops, gaps, clocks, which command may act."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from runtime.codec import encode_packet
from runtime.core.errors import PacketError
from runtime.core.packet import Packet
from runtime.core.topic import DVS, VECTOR3, Topic
from runtime.links.mqtt_commands import Accepted, Refused, judge
from runtime.links.mqtt_config import MqttConfig, RemoteTopic
from runtime.links.mqtt_inbox import Inbox
from runtime.links.mqtt_outbox import Outbox

GYRO = Topic("gyro/rate", VECTOR3, "rad/s", 1000.0)
EYE = Topic("eye/events", DVS)
SECOND = 1_000_000_000


def gyro(i: int, n: int = 1, lost: int = 0) -> Packet:
    return Packet(GYRO, np.arange(i, i + n), np.zeros((n, 3), np.float32), i + n, i, lost)


def frame(i: int, number: int, session: str = "s", clock: str = "far", sent: int | None = None, n: int = 1) -> bytes:
    extras = {"session": session, "number": number, "clock": clock, "sent": i if sent is None else sent}
    return encode_packet(gyro(i, n), extras)


def inbox() -> Inbox:
    return Inbox("gyro/rate", Topic("far/rate", VECTOR3), "here")


class TestOutbox:
    def test_consecutive_packets_of_a_topic_leave_as_one(self) -> None:
        box = Outbox(100, 10**6)
        for i in range(0, 10, 2):
            box.put_packet(0, gyro(i, 2))
        (joined,) = box.take_batches(10**6)
        assert joined.t.tolist() == list(range(10))
        assert (joined.seq, joined.until, len(joined)) == (0, 10, 10)
        assert box.take_batches(10**6) == []

    def test_topics_do_not_break_each_others_batches(self) -> None:
        box = Outbox(100, 10**6)
        for i in range(4):
            box.put_packet(0, gyro(i))
            box.put_packet(0, Packet(EYE, np.array([i]), np.zeros(1, DVS), i, i))
        assert [(packet.topic.name, len(packet)) for packet in box.take_batches(10**6)] == [
            ("gyro/rate", 4),
            ("eye/events", 4),
        ]

    def test_a_batch_breaks_where_something_is_missing(self) -> None:
        box = Outbox(100, 10**6)
        for packet in (gyro(0), gyro(1), gyro(5, lost=3), gyro(6), gyro(9)):
            box.put_packet(0, packet)
        assert [packet.seq for packet in box.take_batches(10**6)] == [0, 5, 9]

    def test_a_batch_breaks_at_its_size(self) -> None:
        box = Outbox(100, 10**6)
        for i in range(10):
            box.put_packet(0, gyro(i))
        assert [len(packet) for packet in box.take_batches(1000)] == [4, 4, 2]

    def test_the_oldest_packets_go_first_and_are_counted(self) -> None:
        box = Outbox(3, 10**6)
        for i in range(10):
            box.put_packet(i, gyro(i))
        assert box.dropped == 7
        box.drop_older(9)
        assert box.dropped == 9
        assert [packet.seq for packet in box.take_batches(10**6)] == [9]

    def test_bytes_are_bounded_too(self) -> None:
        box = Outbox(1000, 5000)
        for i in range(100):
            box.put_packet(0, gyro(i))
        assert 0 < 100 - box.dropped <= 25

    def test_only_the_newest_state_of_a_topic_is_sent(self) -> None:
        box = Outbox(1, 1000)
        for i in range(5):
            box.put_state("network", {"i": i})
        assert box.take_states() == {"network": {"i": 4}}
        assert box.conflated == 4
        assert len(box) == 0


class TestInbox:
    def test_missing_messages_are_counted_and_seq_shows_the_loss(self) -> None:
        box = inbox()
        packets = [box.take(frame(i, i), 100 + i, 1000) for i in (0, 1, 5, 6)]
        assert box.gaps == 3
        assert [packet.seq for packet in packets if packet] == [0, 1, 5, 6]

    def test_a_message_that_comes_twice_is_taken_once(self) -> None:
        box = inbox()
        assert box.take(frame(0, 0), 100, 1000) is not None
        assert box.take(frame(0, 0), 101, 1000) is None

    def test_times_are_on_our_clock_by_the_fastest_delivery(self) -> None:
        box = inbox()
        first = box.take(frame(1000, 0, sent=1100), 51_100 + 300, 1000)
        second = box.take(frame(2000, 1, sent=2100), 52_100 + 20, 1000)
        assert first is not None
        assert second is not None
        assert first.t.tolist() == [1000 + 50_300]
        assert second.t.tolist() == [2000 + 50_020]
        assert box.stats()["offset_ns"] == 50_020

    def test_a_sender_on_our_own_clock_is_not_shifted(self) -> None:
        box = inbox()
        packet = box.take(frame(1000, 0, clock="here"), 5000, 1000)
        assert packet is not None
        assert packet.t.tolist() == [1000]
        assert box.stats()["uncertainty_ns"] == 0

    def test_a_sender_without_a_clock_is_stamped_on_arrival_and_counted(self) -> None:
        box = inbox()
        packet = box.take(encode_packet(gyro(7, 3)), 5000, 1000)
        assert packet is not None
        assert packet.t.tolist() == [5000] * 3
        assert packet.until == 5000
        assert box.stats()["stamped_on_arrival"] == 1

    def test_a_restarted_sender_goes_on_where_it_was(self) -> None:
        box = inbox()
        box.take(frame(100, 100, n=10), 5000, 1000)
        packet = box.take(frame(0, 0, session="t"), 6000, 1000)
        assert packet is not None
        assert packet.lost == -1
        assert packet.seq == 10
        assert box.gaps == 0
        assert box.sessions == 2

    def test_another_dtype_is_refused(self) -> None:
        with pytest.raises(PacketError, match="expected gyro/rate"):
            inbox().take(encode_packet(Packet(Topic("gyro/rate", DVS), np.array([1]), np.zeros(1, DVS), 1)), 1, 1000)

    def test_an_absurd_clock_is_refused(self) -> None:
        with pytest.raises(PacketError, match="sent is"):
            inbox().take(frame(0, 0, sent=2**63), 1, 1000)


def cmd(**fields: Any) -> bytes:
    return json.dumps({"value": 1.0, "sent_ns": 10 * SECOND} | fields).encode()


class TestCommands:
    def judge(self, payload: bytes, age_s: float = 0.1, actuator: str = "pan", retained: bool = False) -> Any:
        return judge(actuator, payload, retained, ["pan"], int((10 + age_s) * SECOND), 0.5)

    def test_a_young_command_acts_for_what_is_left_of_its_time(self) -> None:
        verdict = self.judge(cmd(id=3))
        assert isinstance(verdict, Accepted)
        assert verdict.ttl_s == pytest.approx(0.4)
        assert (verdict.actuator, verdict.value, verdict.id) == ("pan", 1.0, 3)

    def test_a_time_to_live_is_capped(self) -> None:
        verdict = self.judge(cmd(ttl_s=60.0), age_s=0.0)
        assert isinstance(verdict, Accepted)
        assert verdict.ttl_s == 0.5

    def test_a_clock_slightly_ahead_does_not_lengthen_a_command(self) -> None:
        verdict = self.judge(cmd(), age_s=-0.3)
        assert isinstance(verdict, Accepted)
        assert verdict.ttl_s == 0.5

    @pytest.mark.parametrize(
        ("payload", "age_s", "actuator", "retained", "said"),
        [
            (cmd(), 0.5, "pan", False, "its time to live is 0.500 s"),
            (cmd(ttl_s=0.05), 0.1, "pan", False, "its time to live is 0.050 s"),
            (cmd(), 0.1, "tilt", False, "not in accept_commands"),
            (cmd(), 0.1, "pan", True, "retained"),
            (cmd(), -2.0, "pan", False, "in the future"),
            (cmd(ttl_s=0.0), 0.1, "pan", False, "ttl_s"),
            (cmd(value="1"), 0.1, "pan", False, "value"),
            (cmd(value=float("nan")), 0.1, "pan", False, "value"),
            (cmd(extra=1), 0.1, "pan", False, "extra"),
            (b'{"value": 1.0}', 0.1, "pan", False, "sent_ns"),
            (b"\xff", 0.1, "pan", False, "command"),
            (b" " * 5000, 0.1, "pan", False, "5000 bytes"),
        ],
    )
    def test_any_other_is_refused_with_the_reason(
        self, payload: bytes, age_s: float, actuator: str, retained: bool, said: str
    ) -> None:
        verdict = self.judge(payload, age_s, actuator, retained)
        assert isinstance(verdict, Refused)
        assert said in verdict.reason


class TestConfig:
    def test_a_remote_topic_describes_itself(self) -> None:
        topic = RemoteTopic(name="far/rate", robot="node", topic="gyro/rate", type="<f4", shape=(3,), unit="rad/s")
        assert topic.describe().dtype == VECTOR3
        assert topic.remote == "gyro/rate"

    @pytest.mark.parametrize(
        "fields",
        [
            {"subscribe": [{"name": "a", "robot": "x", "type": "no such"}]},
            {"subscribe": [{"name": "a", "robot": "x", "type": "O"}]},
            {"subscribe": [{"name": "A b", "robot": "x", "type": "dvs"}]},
            {"subscribe": [{"name": "a", "robot": "x/#", "type": "dvs"}]},
            {"subscribe": [{"name": "a", "robot": "x", "type": "dvs"}] * 2},
            {"robot": "+"},
            {"port": 0},
            {"state_period_s": 0.01},
            {"unknown": 1},
        ],
    )
    def test_impossible_settings_are_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            MqttConfig.model_validate(fields)

    def test_a_password_is_not_shown(self) -> None:
        assert "secret" not in repr(MqttConfig.model_validate({"password": "secret"}))
