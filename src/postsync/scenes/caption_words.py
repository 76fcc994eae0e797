"""The words of the captions: how people describe each sound family. `captions.py` makes sentences of them.

Entries of one list are divided by semicolons. Every subject combines with every action of its family; every action,
noise and phrase names the family by itself, so that any sentence made of them belongs to one family only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FamilyWords:
    """The descriptions of one family."""

    subjects: tuple[str, ...]  # the agent: "a hammer"
    actions: tuple[str, ...]  # its action: "hitting a metal plate"
    noises: tuple[str, ...]  # the sound, a noun phrase that takes an adjective: "metal clanging"
    manners: tuple[str, ...]  # adjectives
    phrases: tuple[str, ...]  # whole captions


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";"))


def _words(subjects: str, actions: str, noises: str, manners: str, phrases: str) -> FamilyWords:
    return FamilyWords(_split(subjects), _split(actions), _split(noises), _split(manners), _split(phrases))


_STRIKES = {
    "wood_strike": _words(
        "a wooden stick; an axe; a mallet; a drumstick", "hitting a wooden plank; tapping on wood; striking a log",
        "wood knocks; wooden thuds; timber hits", "dry; woody; solid; short",
        "a knife chopping on a wooden board; chopping vegetables on a cutting board; an axe chopping wood; "
        "hammering a nail into wood; planks dropped on a wooden floor; a drumstick hits a wooden table; "
        "tapping a wooden box; splitting firewood with an axe; wood block percussion; a wooden chair falls over"),
    "metal_strike": _words(
        "a hammer; a wrench; a steel bar; an iron rod", "hitting metal; striking an anvil; clanging on a steel pipe",
        "metal clangs; steel clanging; metallic clanks", "bright; ringing; harsh; heavy",
        "hammer on an anvil; a blacksmith at work on iron; dropping a wrench on a metal plate; banging pots and pans; "
        "a drumstick hits a metal railing; swords clashing; tapping on a tin can; a spoon against a steel pan; "
        "coins falling on metal; metal impacts"),
    "glass_strike": _words(
        "a spoon; a fork; a fingernail; a knife", "tapping a wine glass; clinking a glass; hitting a glass bottle",
        "glass clinks; clinking glasses; glass chimes", "delicate; clear; crystal; tinkling",
        "toasting with champagne glasses; tapping on a window pane; a glass bottle set down on a table; "
        "a marble hitting glass; crystal glasses tinkling; knocking on a glass jar; ice cubes clinking in a tumbler; "
        "a drumstick hits a window; glass being struck; bottles clinking together"),
    "ceramic_strike": _words(
        "a teaspoon; a chopstick; a finger; a small mallet",
        "tapping a ceramic mug; hitting a porcelain plate; striking a clay pot",
        "ceramic clinks; porcelain taps; plates clattering", "kitchen; hollow; dull; crisp",
        "stacking dinner plates; setting a cup on a saucer; putting dishes in the sink; a mug placed on a tile; "
        "knocking on a flower pot; tapping bathroom tiles; crockery rattling; a teacup touched by a teaspoon; "
        "a bowl and a plate bump together; porcelain being struck"),
    "plastic_strike": _words(
        "a pen; a ruler; a toy block; a hand", "tapping a plastic cup; hitting a plastic tub; flicking a plastic lid",
        "plastic taps; plastic clicks; keyboard clicks", "light; cheap; toy; hard",
        "typing on a keyboard; drumming on a plastic bucket; lego bricks dropped on plastic; pressing plastic buttons; "
        "a plastic crate being hit; clicking a mouse; plastic cups knocked over; a lunch box snapping shut; "
        "a drumstick hits a plastic bin; flicking a plastic toy"),
    "cardboard_strike": _words(
        "a fist; a stick; a hand; a parcel", "hitting a cardboard box; thumping a carton; tapping on cardboard",
        "cardboard thumps; cardboard box hits; carton thuds", "muffled; flat; papery; boxy",
        "punching a cardboard box; a parcel dropped on the doorstep; kicking an empty carton; "
        "patting a shipping box; a drumstick hits a cardboard tube; boxes stacked by movers; slapping a pizza box; "
        "packing boxes bumped together; a cardboard box falls; drumming on a shoe box"),
    "stone_strike": _words(
        "a chisel; a pickaxe; a rock; a brick", "hitting stone; striking a boulder; chipping at granite",
        "stone knocks; rock impacts; stone clacks", "rough; mineral; hard; brittle",
        "two stones knocked together; a sculptor carving marble with a chisel; mining rock with a pickaxe; "
        "a brick dropped on concrete; a drumstick hits a rock; breaking concrete with a hammer; pebbles clacking; "
        "rocks tumbling down a cliff; a cobblestone being struck; bricks stacked on a stone wall"),
    "drum_strike": _words(
        "a drummer; a drumstick; a percussionist; a mallet", "hitting a drum; striking a snare; beating a tom drum",
        "drum hits; drum beats; bass drum thumps", "deep; booming; rhythmic; tribal",
        "playing the drums; a snare drum hit; kick drum; a bongo player; hands on a djembe; a marching band drum; "
        "a timpani stroke; taiko drumming; a drum solo; tapping on a tambour skin"),
    "water_strike": _words(
        "a hand; a paddle; a flat palm; an oar", "slapping the water; hitting the water surface; smacking a puddle",
        "water slaps; water smacks; wet slaps", "wet; flat; splashy; soft",
        "slapping the surface of a pool; a child patting bath water; an oar hits the lake; a swimmer kicks the water; "
        "a drumstick hits water; a fish tail slapping the water; beating water with a stick; paddling with the hands; "
        "a whale tail smacks the sea; palms on water"),
    "gravel_strike": _words(
        "a shovel; a stick; a heavy boot; a spade", "hitting gravel; stabbing into gravel; striking loose gravel",
        "gravel crunches; gravel hits; gravel thuds", "crunchy; gritty; loose; grainy",
        "a shovel driven into gravel; dropping a bag of gravel; a handful of gravel thrown on the ground; "
        "digging in gravel with a spade; a ball lands on gravel; a drumstick hits gravel; small stones scattered; "
        "gravel dumped on a driveway; poking a pile of grit; gravel kicked up"),
    "leaves_strike": _words(
        "a stick; a branch; a broom; a child", "hitting dry leaves; smacking a pile of leaves; beating a leafy bush",
        "leaf crunches; leaves crackling; foliage hits", "dry; autumn; crispy; rustly",
        "jumping into a pile of leaves; hitting a bush with a stick; crunching autumn leaves; "
        "a drumstick hits a hedge; kicking fallen leaves; a squirrel landing in leaves; thrashing the shrubs; "
        "an apple falls into leaves; foliage being struck; smacking ivy on a wall"),
    "cloth_strike": _words(
        "a fist; a carpet beater; a hand; a stick", "hitting a pillow; punching a cushion; beating a carpet",
        "cloth thumps; fabric thuds; pillow hits", "soft; muffled; padded; dusty",
        "a pillow fight; beating dust out of a rug; punching a sofa cushion; dropping a bag of laundry; "
        "a towel smacked on a bed; fluffing up a pillow; a blanket thrown down; a drumstick hits a couch; "
        "a boxer hits a punching bag; slapping a jacket"),
}

_SCRAPES = {
    "wood_scrape": _words(
        "a saw; a carpenter; a plane; a chair leg", "scraping wood; rubbing on a wood board; sliding on floorboards",
        "wood scraping; wooden creaks; wood rubbing", "coarse; creaky; dry; slow",
        "sawing a plank; sanding wood with sandpaper; dragging a chair over the floorboards; planing a board; "
        "a drumstick scratches a table; pushing a wooden crate; whittling a branch; a wooden drawer slides open; "
        "scratching on timber; filing a piece of wood"),
    "metal_scrape": _words(
        "a file; a knife; a steel brush; a chain", "scraping metal; grinding on steel; dragging over an iron sheet",
        "metal scraping; metallic screeching; steel grinding", "shrill; screeching; rusty; harsh",
        "sharpening a knife on steel; a sword drawn from its sheath; dragging a chain over metal; "
        "a metal gate grinding open; filing iron; train wheels screeching on the rail; a fork scratching a pan; "
        "scraping rust off a pipe; a drumstick scratches a railing; metal rubbing on metal"),
    "glass_scrape": _words(
        "a wet finger; a diamond cutter; a coin; a squeegee", "rubbing glass; scratching a window; sliding on a mirror",
        "glass squeaks; glass scratching; window squeaking", "squeaky; high; thin; piercing",
        "wiping a window with a cloth; rubbing the rim of a wine glass; cutting glass; cleaning a mirror; "
        "scratching a glass pane with a nail; polishing a windscreen; a squeegee on a shower door; "
        "a glass harmonica; a jar slides across glass; squeaky clean glass"),
    "ceramic_scrape": _words(
        "a fork; a spoon; a knife; a sponge", "scraping a plate; scratching a ceramic bowl; rubbing over porcelain",
        "ceramic scraping; plate scratching; porcelain grating", "grating; scratchy; thin; unpleasant",
        "a fork scraping on a dinner plate; sliding a mug over tiles; grinding with a mortar and pestle; "
        "stirring in a ceramic cup; a plate dragged over the stove; scrubbing the bathtub; a potter smoothing a pot; "
        "scouring dishes; a lid turning on a teapot; scratching a tile"),
    "plastic_scrape": _words(
        "a comb; a zip tie; a credit card; a fingernail",
        "scraping plastic; rubbing a plastic sheet; sliding over a plastic tray",
        "plastic scraping; plastic rubbing; plastic squeaks", "scratchy; synthetic; thin; squeaky",
        "dragging a plastic crate; a suitcase zipper; pulling adhesive tape; scratching a plastic bottle; "
        "running a thumb along a comb; a plastic chair slides; unrolling plastic wrap; a plastic sled pulled along; "
        "a drumstick scratches a bucket; rubbing a balloon"),
    "cardboard_scrape": _words(
        "a box cutter; a hand; a marker; a parcel",
        "scraping cardboard; sliding over a cardboard sheet; dragging along a carton",
        "cardboard scraping; cardboard rubbing; carton rustling", "papery; dull; dry; rough",
        "pushing a cardboard box across the room; tearing a carton open; cutting cardboard; folding a shipping box; "
        "unpacking a parcel; sliding a letter out of an envelope; rubbing two pieces of cardboard; "
        "a pizza box dragged along; scratching on a shoe box; sanding the edge of a carton"),
    "stone_scrape": _words(
        "a millstone; a heavy slab; a brick; a rock", "scraping over stone; grinding on rock; dragging on concrete",
        "stone grinding; stone scraping; rock rubbing", "gritty; massive; rough; ancient",
        "a tomb slab sliding open; chalk on a slate; grinding grain with a millstone; moving a boulder; "
        "a brick dragged over concrete; two rocks rubbed together; polishing marble; scratching a stone wall; "
        "a drumstick scratches concrete; a stone door opens slowly"),
    "drum_scrape": _words(
        "a wire brush; a fingernail; a drummer; a ball", "rubbing a drum skin; brushing a snare; scraping a drum head",
        "drum rubbing; drum brushing; drum skin scraping", "jazzy; swishing; moaning; soft",
        "brushes on a snare; a jazz drummer with brushes; sweeping over the drum; circling a brush on a drum head; "
        "a friction drum; a cuica groan; dragging a stick over a drum; scratching the skin of a djembe; "
        "stirring on the snare with wire brushes; a hand sliding on a drum"),
    "water_scrape": _words(
        "a hand; a spoon; a mop; an oar", "stirring water; swishing through water; dragging through the water",
        "water swishing; water stirring; water sloshing", "liquid; gentle; wet; smooth",
        "washing hands in a basin; swirling a hand in the bath; stirring a bucket of water; rowing a boat; "
        "wading through a pool; rinsing a cloth in water; sloshing a tub; a paddle gliding through the lake; "
        "swimming slowly; a whisk moved through water"),
    "gravel_scrape": _words(
        "a rake; a boot; a shovel; a tyre", "scraping gravel; dragging through gravel; sliding over loose gravel",
        "gravel scraping; gravel grinding; grit rubbing", "crunchy; gritty; coarse; noisy",
        "raking a gravel path; a shovel pushed along the gravel; a car skidding on gravel; shuffling gravel around; "
        "a bicycle braking on gravel; sieving sand and grit; pulling a cart over gravel; a drumstick scratches gravel; "
        "levelling a gravel driveway; sweeping pebbles"),
    "leaves_scrape": _words(
        "a rake; a broom; a person; a hedgehog", "rustling leaves; raking dry leaves; brushing through foliage",
        "leaves rustling; foliage rustling; leaf rustle", "dry; autumn; whispering; crisp",
        "raking the lawn in autumn; sweeping up fallen leaves; walking through a hedge; an animal rustling in a bush; "
        "shuffling through dry leaves; pushing branches aside; a snake gliding through leaves; "
        "stirring a heap of leaves; dragging a branch with leaves; shaking a leafy twig"),
    "cloth_scrape": _words(
        "a person; a sleeve; a hand; a tailor", "rubbing fabric; rustling clothes; sliding over cloth",
        "cloth rustling; fabric rubbing; clothes rustle", "soft; silky; quiet; smooth",
        "pulling on a coat; folding laundry; wiping a table with a towel; rubbing denim; a curtain drawn aside; "
        "jacket movement foley; making the bed sheets; unfolding a blanket; a silk dress swishing; brushing velvet"),
}

_EVENTS = {
    "ball_bounce": _words(
        "a basketball; a tennis ball; a rubber ball; a ping pong ball",
        "bouncing on the floor; bouncing; bouncing down the court",
        "ball bounces; bouncing ball; basketball dribbling", "springy; lively; quick; elastic",
        "dribbling a basketball; a ball dropped and left to bounce; a child bouncing a ball; table tennis; "
        "a football bounces off a wall; a ball bounces down the stairs; playing tennis; a bouncy ball; "
        "a volleyball bounces in the gym; juggling a soccer ball"),
    "footsteps": _words(
        "a man; a woman in high heels; someone; a runner", "walking; walking down the hall; stepping on a hard floor",
        "footsteps; steps; walking sounds", "steady; slow; hurried; heavy",
        "footsteps on concrete; footsteps on a wooden floor; high heels on a hard floor; boots marching; "
        "jogging in the street; shoes on tiles; running up the stairs; someone walks past; pacing footsteps; "
        "creeping steps in the night"),
    "door_knock": _words(
        "a visitor; a knuckle; the neighbour; a policeman",
        "knocking on a door; knocking at the front door; rapping on a wooden door",
        "door knocks; knocking; door knocking", "polite; loud; urgent; repeated",
        "knocking on a wooden door; knock knock; someone is at the door; pounding on the door; "
        "three knocks on the door; a guest knocks; room service knocking; banging on a door with a fist; "
        "a knock at the entrance; police pounding at the door"),
    "clock_tick": _words(
        "a clock; a grandfather clock; a wrist watch; a metronome", "ticking; ticking away; ticking steadily",
        "clock ticks; ticking clock; tick tock", "regular; mechanical; steady; tiny",
        "a pendulum clock; tick tock of a clock; the second hand of a watch; a kitchen timer ticking; a bomb ticking; "
        "an old clock on the wall; a metronome keeping the beat; a pocket watch; a pendulum swinging and ticking; "
        "an alarm clock ticks"),
    "bell": _words(
        "a church bell; a hand bell; a temple bell; a bell", "ringing; tolling; chiming in the tower",
        "bell ringing; bell tolls; bell chimes", "sacred; resonant; distant; golden",
        "church bells; a bell tower at noon; ringing a doorbell; a school bell; a cow bell; a bicycle bell; "
        "the bell tolls; a ship's bell; a reception bell; jingle bells"),
    "splash": _words(
        "a stone; a diver; a frog; a heavy object",
        "splashing into water; plunging into the pool; dropping into the lake with a splash",
        "splashes; water splash; plops", "big; sudden; wet; single",
        "a stone thrown into a pond; diving into a swimming pool; plop; something falls into the water; "
        "a cannonball jump into the pool; an ice cube dropped into a drink; a big splash in the river; "
        "a pebble dropped in a well; a bucket dumped in the sea; skipping stones on a lake"),
    "bark": _words(
        "a dog; a puppy; a big hound; a guard dog", "barking; yapping; barking at a stranger",
        "dog barks; dog barking; woofs", "angry; excited; deep; playful",
        "a dog barking; a barking dog behind a fence; puppy yelps; woof woof; a terrier yapping; a shepherd dog barks; "
        "a bulldog growls and barks; a dog greets its owner; dogs barking in the distance; a hound bays"),
    "whistle": _words(
        "a referee; a coach; a kettle; a train conductor", "whistling; blowing a whistle; giving a whistle signal",
        "whistle blows; whistling; whistle tones", "shrill; high; piercing; cheerful",
        "a referee whistle; blowing a whistle; someone whistles a tune; a wolf whistle; a kettle whistle; "
        "whistling to a dog; a steam train whistle; a penny whistle; a man whistling; a police whistle"),
    "engine_start": _words(
        "a car; a motorcycle; a truck; a lawn mower", "starting up; starting its engine; being cranked and started",
        "engine start; car ignition; starter motor", "rough; sputtering; cold; reluctant",
        "starting a car; turning the ignition key; an engine starts; a motorbike kick start; a chainsaw being started; "
        "the engine turns over and catches; cranking the starter; firing up a tractor; pulling the cord of a mower; "
        "the car will not start"),
    "cymbal": _words(
        "a drummer; a percussionist; a drumstick; an orchestra player",
        "crashing a cymbal; hitting a cymbal; playing a ride cymbal",
        "cymbal crashes; cymbals; cymbal hits", "shimmering; splashy; metallic; long",
        "a crash cymbal; cymbals clashing; hi-hat; ride cymbal; a gong; a gong struck with a mallet; "
        "a pair of cymbals in the orchestra; a splash cymbal; open hi-hat; a cymbal swell"),
    "clap": _words(
        "a person; someone; a man; a woman", "clapping; clapping the hands; clapping once",
        "hand claps; clapping; handclaps", "sharp; crisp; single; rhythmic",
        "hands clapping; clap clap; clapping to the beat; a slow clap; a flamenco dancer clapping; "
        "one person clapping; a teacher claps for attention; two hands clap; clapping games; finger snaps and claps"),
    "bang": _words(
        "a cannon; a balloon; a cork; an exhaust", "going off with a bang; bursting; going bang",
        "bangs; loud bangs; a boom", "violent; deafening; sudden; short",
        "a loud bang; a cannon is fired; a starting gun; a backfiring car; a balloon bursts; a paper bag pops; "
        "a boom; a cannon salute; a sudden bang in the street; a champagne cork"),
}

_TEXTURES = {
    "rain": _words(
        "rain; heavy rain; a rain shower; drizzle", "falling; pattering on a roof; pouring down",
        "rainfall; rain; raindrops", "heavy; gentle; steady; tropical",
        "rain pattering on a roof; raindrops on a window; it is raining; a downpour; a rainy day; rain on an umbrella; "
        "a rainstorm; drizzle on leaves; rain dripping from the gutter; monsoon rain"),
    "wind": _words(
        "the wind; a strong wind; a gale; a breeze", "blowing; howling; gusting through the trees",
        "wind; wind gusts; howling wind", "cold; stormy; strong; desert",
        "wind in the trees; a windy day; a gust of wind; a breeze over the fields; a blizzard howls; "
        "wind blowing across a mountain; a hurricane; wind in the chimney; a draught; blustery weather"),
    "waves": _words(
        "waves; ocean waves; the surf; the sea", "breaking on the shore; rolling onto the beach; crashing on the coast",
        "ocean waves; surf; sea waves", "rolling; calm; stormy; slow",
        "the sea; waves on a beach; surf at the seaside; ocean at night; waves lapping the sand; the tide coming in; "
        "waves crashing against cliffs; a rough sea; a calm beach; ocean swell"),
    "fire": _words(
        "a fire; a campfire; a fireplace; a bonfire", "burning; crackling; burning and crackling",
        "fire crackling; flames; campfire", "warm; cosy; blazing; roaring",
        "a crackling campfire; logs burning in the fireplace; flames; a house on fire; a torch; a burning stove; "
        "a forest fire; embers glowing and popping; a bonfire in the night; paper burning"),
    "engine": _words(
        "an engine; a diesel engine; a tractor; a motor", "running; idling; humming; revving",
        "engine noise; engine hum; motor rumble", "low; constant; roaring; industrial",
        "a car driving; a motor idling; a truck driving uphill; a running diesel; a motorboat; a machine humming; "
        "a generator; a car engine revving; an airplane engine; a bus waits with its engine running"),
    "stream": _words(
        "a stream; a brook; a small river; a creek", "flowing; babbling over rocks; gurgling",
        "flowing water; running water; babbling brook", "peaceful; fresh; bubbling; clear",
        "a mountain stream; a babbling brook; a river flows; water running from a tap; a fountain; a waterfall; "
        "a trickle of water; a creek in the forest; an open faucet; water pouring into a bowl"),
    "crowd": _words(
        "a crowd; an audience; a group of people; fans", "talking; chattering; cheering in a stadium; murmuring",
        "crowd noise; people talking; chatter", "busy; murmuring; distant; lively",
        "a busy restaurant; people chatting at a party; a crowded market; a stadium crowd; voices in a cafe; "
        "an audience before the show; a school playground; the murmur of a crowd; a train station full of people; "
        "guests at a wedding"),
}

DRAWN_WORDS: dict[str, FamilyWords] = {**_STRIKES, **_SCRAPES, **_EVENTS, **_TEXTURES}
