"""Is the right thing heard? A tagger's scores against the classes that are right for a clip.

A clip names its classes itself, or its family does (`HEARD_AS`, names of AudioSet's ontology, Gemmeke et al., ICASSP
2017). A class counts as heard where it is among the first five and scores 0.1 or more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .accumulators import ClipMean

FIRST, LEAST = 5, 0.1

HEARD_AS: dict[str, str] = {  # family -> classes, any of which is right, divided by semicolons
    "wood_strike": "Wood; Wood block; Chop; Knock; Tap; Thump, thud; Hammer; Chopping (food)",
    "metal_strike": "Clang; Ding; Hammer; Tools; Chink, clink; Dishes, pots, and pans; Bell; Ping",
    "glass_strike": "Glass; Chink, clink; Ding; Dishes, pots, and pans; Ping",
    "ceramic_strike": "Dishes, pots, and pans; Cutlery, silverware; Chink, clink; Glass; Tap",
    "plastic_strike": "Tap; Knock; Clicking; Typing; Computer keyboard; Tick; Thump, thud",
    "cardboard_strike": "Knock; Tap; Thump, thud; Wood; Door; Thunk",
    "stone_strike": "Tap; Knock; Chop; Crack; Thump, thud; Hammer; Clicking",
    "drum_strike": "Drum; Drum kit; Percussion; Snare drum; Bass drum; Tabla; Drum machine; Drum roll",
    "water_strike": "Splash, splatter; Water; Slosh; Plop; Liquid; Slap, smack",
    "gravel_strike": "Crushing; Crunch; Walk, footsteps; Crumpling, crinkling; Shuffling cards",
    "leaves_strike": "Rustling leaves; Rustle; Crumpling, crinkling; Crushing; Crackle",
    "cloth_strike": "Thump, thud; Slap, smack; Whack, thwack; Thunk; Knock",
    "wood_scrape": "Scrape; Sawing; Sanding; Filing (rasp); Wood; Creak; Rub; Tools",
    "metal_scrape": "Scrape; Filing (rasp); Squeak; Creak; Tools; Scratch; Rub",
    "glass_scrape": "Squeak; Scrape; Scratch; Glass; Rub; Squeal",
    "ceramic_scrape": "Scrape; Scratch; Dishes, pots, and pans; Rub",
    "plastic_scrape": "Scrape; Scratch; Rub; Zipper",
    "cardboard_scrape": "Scrape; Rub; Tearing; Crumpling, crinkling; Rustle",
    "stone_scrape": "Scrape; Rub; Grind",
    "drum_scrape": "Scrape; Rub; Scratch; Brush; Percussion",
    "water_scrape": "Water; Slosh; Stir; Liquid; Splash, splatter",
    "gravel_scrape": "Scrape; Crushing; Rub; Walk, footsteps; Skidding",
    "leaves_scrape": "Rustling leaves; Rustle; Crumpling, crinkling",
    "cloth_scrape": "Rustle; Rub; Scrape; Zipper",
    "ball_bounce": "Bouncing; Basketball bounce; Thump, thud",
    "footsteps": "Walk, footsteps; Run; Shuffle; Clip-clop",
    "door_knock": "Knock; Door; Tap",
    "clock_tick": "Tick; Tick-tock; Clock; Mechanisms",
    "bell": "Bell; Church bell; Chime; Ding; Jingle bell; Ding-dong; Change ringing (campanology); Gong; Doorbell",
    "splash": "Splash, splatter; Plop; Water; Slosh; Liquid",
    "bark": "Dog; Bark; Bow-wow; Yip; Growling",
    "whistle": "Whistle; Whistling; Steam whistle",
    "engine_start": "Engine starting; Engine; Car; Vehicle; Idling",
    "cymbal": "Cymbal; Hi-hat; Crash cymbal; Percussion; Drum kit; Gong",
    "clap": "Clapping; Hands; Finger snapping; Applause",
    "bang": "Explosion; Gunshot, gunfire; Bang; Burst, pop; Cap gun; Fireworks; Boom",
    "rain": "Rain; Raindrop; Rain on surface",
    "wind": "Wind; Wind noise (microphone); Howl",
    "waves": "Waves, surf; Ocean",
    "fire": "Fire; Crackle",
    "engine": "Engine; Idling; Vehicle; Car; Motor vehicle (road); Medium engine (mid frequency); Motorcycle; Truck; "
              "Light engine (high frequency); Heavy engine (low frequency)",
    "stream": "Stream; Water; Trickle, dribble; Waterfall; Gurgling; Pour; Water tap, faucet",
    "crowd": "Crowd; Hubbub, speech noise, speech babble; Chatter; Cheering; Speech; Conversation",
    "door_slam": "Slam; Door; Thump, thud; Cupboard open or close; Drawer open or close",
    "door_creak": "Creak; Squeak; Door; Sliding door; Cupboard open or close; Drawer open or close",
    "gun_shot": "Gunshot, gunfire; Machine gun; Fusillade; Artillery fire; Cap gun; Explosion",
    "gun_handling": "Clicking; Mechanisms; Ratchet, pawl; Camera; Single-lens reflex camera; Cap gun; Gunshot, gunfire",
    "explosion": "Explosion; Boom; Eruption; Artillery fire; Thunder; Fireworks",
    "fireworks": "Fireworks; Firecracker; Explosion",
    "thunder": "Thunder; Thunderstorm",
    "glass_break": "Shatter; Glass; Breaking; Chink, clink; Smash, crash",
    "ceramic_break": "Breaking; Shatter; Dishes, pots, and pans; Glass; Smash, crash; Cutlery, silverware",
    "wood_break": "Breaking; Crack; Splinter; Wood; Smash, crash",
    "coins": "Coin (dropping); Jingle, tinkle; Chink, clink; Keys jangling",
    "punch": "Whack, thwack; Slap, smack; Thump, thud; Smash, crash; Squish",
    "whoosh": "Whoosh, swoosh, swish; Arrow; Whip",
    "step_grass": "Walk, footsteps; Run; Rustle; Crushing; Rustling leaves",
    "step_gravel": "Walk, footsteps; Run; Crushing; Shuffle",
    "step_metal": "Walk, footsteps; Run; Clang; Clip-clop; Knock",
    "step_snow": "Walk, footsteps; Crushing; Run",
    "step_water": "Walk, footsteps; Splash, splatter; Slosh; Squish; Water",
    "hi_hat": "Hi-hat; Cymbal; Percussion; Drum kit; Drum machine",
    "snare_drum": "Snare drum; Drum; Drum kit; Percussion; Drum roll; Rimshot; Drum machine",
    "bass_drum": "Bass drum; Drum; Drum kit; Drum machine; Percussion; Thump, thud; Heart sounds, heartbeat",
    "cat": "Cat; Meow; Caterwaul",
    "rooster": "Chicken, rooster; Crowing, cock-a-doodle-doo; Fowl; Cluck",
    "cow": "Cattle, bovinae; Moo",
    "horse": "Horse; Neigh, whinny; Clip-clop",
    "sheep": "Sheep; Goat; Bleat",
    "duck": "Duck; Quack; Goose; Honk; Fowl",
    "bird": "Bird; Bird vocalization, bird call, bird song; Chirp, tweet; Crow; Caw; Owl; Hoot",
    "roar": "Roar; Roaring cats (lions, tigers); Growling; Grunt; Animal",
    "baby_cry": "Baby cry, infant cry; Crying, sobbing; Whimper",
    "sneeze": "Sneeze; Cough",
    "laugh": "Laughter; Giggle; Belly laugh; Chuckle, chortle; Snicker; Baby laughter",
    "scream": "Screaming; Shout; Groan; Yell; Wail, moan; Grunt",
    "bite": "Biting; Chewing, mastication; Crumpling, crinkling; Crushing",
    "car_horn": "Vehicle horn, car horn, honking; Toot; Air horn, truck horn; Foghorn; Train horn",
    "chainsaw": "Chainsaw; Power tool; Engine; Light engine (high frequency); Lawn mower",
    "helicopter": "Helicopter; Aircraft; Propeller, airscrew",
    "airplane": "Aircraft; Fixed-wing aircraft, airplane; Jet engine; Propeller, airscrew; Aircraft engine",
    "train": "Train; Rail transport; Railroad car, train wagon; Train horn; Train whistle; Subway, metro, underground",
    "insects": "Insect; Cricket; Bee, wasp, etc.; Buzz; Mosquito; Fly, housefly",
}


class Heard(ClipMean):
    """Share of clips in which a class that is right is heard."""

    higher_is_better = True

    def values(self, scores: Tensor, accepted: Sequence[int]) -> float:
        """scores (C,) in 0..1, accepted: places of the classes that are right. 1 or 0."""
        first = scores.topk(min(FIRST, len(scores))).indices.tolist()
        return float(any(place in first and float(scores[place]) >= LEAST for place in accepted))


class HeardScore(ClipMean):
    """Mean over clips of the score of the best class that is right."""

    higher_is_better = True

    def values(self, scores: Tensor, accepted: Sequence[int]) -> Tensor:
        """scores (C,) in 0..1, accepted: places of the classes that are right."""
        return scores[torch.as_tensor(accepted)].max()


def heard_classes_of(label: str | None) -> tuple[str, ...]:
    """The classes that are right for a family; none where it is unknown."""
    return tuple(name.strip() for name in HEARD_AS.get(label or "", "").split(";") if name.strip())


def families_heard_as(expected: Sequence[str], families: Sequence[str]) -> tuple[str, ...]:
    """The families whose sound may be heard as one of the classes `expected`."""
    return tuple(family for family in families if set(heard_classes_of(family)) & set(expected))


def accepted_places(expected: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of the classes that `expected` names: wholly, or up to a comma or bracket."""
    wanted = set(expected)
    return [place for place, name in enumerate(names)
            if name in wanted or name.split(",")[0].split(" (")[0] in wanted]
