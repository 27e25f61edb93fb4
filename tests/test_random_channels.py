"""Large random games with channels, under many schedules: a plain model explains each.

``python test_random_channels.py 1000`` plays a thousand seeds of each schedule.
"""

import math
import random
import sys

import gevent
import pytest
from channel_models import CLOSED, DIED, LATE, REFUSED
from channel_plays import Play, Player
from makers import routines
from simulating import played

from gowork import Job

SCHEDULES = ["fifo", "lifo", "random", "bounded", "pct"]


class Game:
    """What *seed* says: greenlets that call channels, again and again, or disturb others."""

    def __init__(self, seed):
        self.draw = random.Random(seed)

    def __call__(self):
        draw = self.draw
        capacities = [draw.choice([0, 0, 1, 2, 3, math.inf]) for _ in range(draw.randint(2, 4))]
        self.play = Play(*capacities)
        plans = [self.plan() for _ in range(draw.randint(10, 30))]
        job = Job()
        for plan in plans:
            if draw.random() < 0.1:
                player = Player(self.play)
                job.add_task(routines(None, self.as_a_task(player, plan)))
            else:
                limit = draw.choice([None, None, 1, 4])
                self.play.spawn(self.follow, plan, delay=draw.randint(0, 3), limit=limit)
        job.run()
        gevent.spawn_later(draw.randint(1, 9), job.cancel)
        gevent.sleep(20)
        self.play.conclude()
        return self.play.model.seen

    def as_a_task(self, player, plan):
        def routine(task):
            player.run(self.follow, plan)
            task.done()

        return routine

    def plan(self):
        """Calls, each with the pause before it."""
        likes_to_send = self.draw.choice([0.2, 0.5, 0.8])
        return [
            (self.draw.choice([0, 0, 1, 2]), *self.call(likes_to_send))
            for _ in range(self.draw.randint(1, 6))
        ]

    def call(self, likes_to_send):
        draw = self.draw
        if draw.random() < 0.2:
            return self.disturb, (draw.random(), draw.random())
        count = len(self.play.channels)
        cases = [
            None
            if draw.random() < 0.1
            else ("send" if draw.random() < likes_to_send else "recv", draw.randrange(count))
            for _ in range(draw.choice([1, 1, 1, 2, 3]))
        ]
        timeout = draw.choice([None, None, None, 0, 1, 2])
        if len(cases) > 1 or cases[0] is None:
            return self.play.select, (cases, timeout)
        doing, which = cases[0]
        if draw.random() < 0.2:
            return getattr(self.play, f"{doing}_nowait"), (which,)
        return getattr(self.play, doing), (which, timeout)

    def follow(self, plan):
        for pause, call, args in plan:
            gevent.sleep(pause)
            call(*args)

    def disturb(self, dice, whom):
        player = self.play.players[int(whom * len(self.play.players))]
        if dice < 0.03:
            self.play.close(int(whom * len(self.play.channels)))
        elif dice < 0.4:
            player.throw()
        else:
            player.kill()


def ways_to_end(schedule, seed):
    """How calls ended in the game of *seed*, as the model puts it."""
    how = {} if schedule in ("fifo", "lifo") else {"seed": seed}
    seen = played(Game(seed), schedule=schedule, **how)
    return {event[2] for event in seen if event[0] == "end"}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_large_game_is_explained_under_any_schedule(schedule):
    ways = set().union(*(ways_to_end(schedule, seed) for seed in range(30)))
    assert ways >= {0, 1, 2, CLOSED, LATE, REFUSED, DIED}


if __name__ == "__main__":
    for seed in range(int(sys.argv[1])):
        for schedule in SCHEDULES:
            ways_to_end(schedule, seed)
