"""The words of the captions of families that are taught by recordings alone; see `caption_words.py`."""

from __future__ import annotations

from .caption_words import FamilyWords, _words

RECORDED_WORDS: dict[str, FamilyWords] = {
    "door_slam": _words(
        "a door; the front door; a car door; a heavy gate", "slamming shut; slamming; falling shut with a bang",
        "door slams; a slamming door; door closing", "loud; angry; heavy; wooden",
        "somebody slams the door; a door bangs shut; closing a door; a cupboard door slammed; a car door closes; "
        "the gate falls shut; a cell door shuts; shutting the boot of a car; a garage door slams; a lid slammed down"),
    "door_creak": _words(
        "a door; an old hinge; a garden gate; a wooden chest", "creaking open; opening with a creak; squeaking",
        "door creaks; a creaking hinge; squeaky hinges", "rusty; spooky; old; dry",
        "a door opens slowly; an old door creaking; the hinge squeaks; opening a wooden chest; a gate swings open; "
        "opening a creaky cupboard; a haunted house door; a window opens; the trunk of a car opens; a rusty gate"),
    "gun_shot": _words(
        "a gun; a rifle; a pistol; a soldier", "firing a shot; shooting; being fired",
        "gunshots; gun shots; rifle fire", "sharp; close; echoing; violent",
        "a rifle shot; shooting a rifle; a pistol shot; a shotgun blast; shots fired; a revolver fires; "
        "target shooting; a hunter shoots; a sniper rifle; machine gun fire"),
    "gun_handling": _words(
        "a soldier; a shooter; a pistol; a rifle", "being loaded; reloading a gun; cocking a weapon",
        "gun reloads; gun cocking; weapon handling", "metallic; mechanical; quick; clicking",
        "loading a rifle; the click of an empty gun; a pistol is cocked; pumping a shotgun; a magazine inserted; "
        "a bolt action being worked; racking the slide; a cartridge case falls; reloading a weapon; "
        "a bow being drawn"),
    "explosion": _words(
        "a bomb; a building; dynamite; a grenade", "exploding; blowing up; going off with an explosion",
        "explosions; a blast; a huge detonation", "massive; deep; distant; violent",
        "a bomb explodes; a loud explosion; dynamite goes off; an explosion in the distance; a car blows up; "
        "a grenade blast; a mine detonates; a gas explosion; a shell bursts; blasting in a quarry"),
    "fireworks": _words(
        "fireworks; a firework; a rocket; a firecracker",
        "bursting in the sky; popping in the night; crackling overhead",
        "fireworks; firework bangs; fireworks popping", "festive; colourful; crackling; distant",
        "fireworks exploding in the sky; new year's eve fireworks; a firework display; firecrackers; "
        "fireworks at night; rockets bursting; a string of firecrackers; the finale of the fireworks; "
        "fireworks over the lake; a sparkler"),
    "thunder": _words(
        "thunder; a thunderstorm; lightning; the sky", "rumbling; cracking and rolling; striking nearby",
        "thunder; thunder claps; rolling thunder", "rolling; deep; close; ominous",
        "a clap of thunder; thunder rolling in the distance; lightning strikes; a thunderstorm at night; "
        "thunder rumbles; a storm with thunder; thunder and lightning; a thunderbolt; the thunder cracks; "
        "summer thunder"),
    "glass_break": _words(
        "a window; a glass; a bottle; a windscreen", "breaking; shattering; smashing to pieces",
        "glass breaking; shattering glass; glass smashes", "sharp; sudden; bright; splintering",
        "a window is smashed; a glass falls and breaks; a bottle shatters; a stone through a window; "
        "breaking a pane; a wine glass shattering on the floor; somebody breaks a window; a mirror breaks; "
        "shards of glass; a light bulb bursts"),
    "ceramic_break": _words(
        "a plate; a vase; a cup; a pot", "breaking on the floor; being smashed; falling to pieces",
        "a plate breaking; crockery smashing; pottery breaking", "brittle; sudden; clattering; sharp",
        "a dropped plate; smashing plates; a vase falls and breaks; a broken cup; a flower pot shatters; "
        "porcelain smashing; dishes crash to the floor; a tile cracks; breaking pottery; a mug falls and breaks"),
    "wood_break": _words(
        "a branch; a plank; a tree; a chair", "snapping; breaking apart; splintering",
        "wood breaking; wood snapping; splintering wood", "dry; splintery; sudden; cracking",
        "a branch snaps; breaking a plank; a tree falls; a wooden crate is smashed; kicking in a door; "
        "sticks breaking; a chair breaks; a mast splinters; snapping twigs; a fence is broken down"),
    "coins": _words(
        "coins; a coin; loose change; a purse", "jingling; dropped on a table; being counted",
        "coins jingling; coin drops; clinking coins", "bright; small; metallic; tinkling",
        "a handful of coins; a coin spins on the table; money is counted; coins in a purse; "
        "a slot machine pays out; change dropped in a jar; a coin falls; picking up coins; a bag of gold; "
        "coins poured out"),
    "punch": _words(
        "a boxer; a fist; a fighter; a blade", "punching someone; hitting flesh; landing a blow",
        "punches; body blows; fist hits", "meaty; hard; dull; brutal",
        "a punch in the face; a fight; a fist fight; a boxer lands a punch; a slap; a blow to the body; "
        "martial arts hits; a kick to the stomach; a sword cuts into flesh; a brawl"),
    "whoosh": _words(
        "a sword; a stick; something; an arrow", "whooshing past; swinging through the air; swishing by",
        "whooshes; a swoosh; air swishes", "fast; airy; short; sweeping",
        "a sword swings; a whoosh; an arrow flies by; a golf swing; a whip through the air; a fast swish; "
        "a cape swooshes; something flies past; swinging a bat; a tennis racket swings"),
    "step_grass": _words(
        "someone; a hiker; a person; a boy", "walking on grass; walking through a meadow; stepping through grass",
        "footsteps on grass; steps in grass; grassy footsteps", "soft; rustling; quiet; steady",
        "walking over the lawn; running on grass; footsteps in a meadow; steps on leaves and grass; "
        "walking in a field; a walk through tall grass; treading on dry grass; walking in the park; "
        "stepping on straw; footsteps in hay"),
    "step_gravel": _words(
        "someone; a man; a jogger; boots", "walking on gravel; crunching along a gravel path; stepping on pebbles",
        "footsteps on gravel; gravel footsteps; crunching steps", "crunchy; slow; steady; heavy",
        "walking on a gravel path; steps on gravel; running on gravel; feet crunching on pebbles; walking on sand; "
        "a gravel driveway walk; boots on gravel; footsteps on dirt; walking over stones; a walk on the shingle"),
    "step_metal": _words(
        "someone; a worker; boots; a soldier", "walking on metal; climbing metal stairs; stepping on a steel grate",
        "footsteps on metal; metal footsteps; clanking steps", "clanging; hollow; heavy; steady",
        "walking on a metal grating; running up a fire escape; steps on a steel ladder; footsteps on a ship's deck; "
        "boots on iron stairs; walking across a metal bridge; a catwalk; steps on tin; metal stairs; "
        "climbing a ladder"),
    "step_snow": _words(
        "someone; a hiker; boots; a skier", "walking in snow; crunching through the snow; trudging in deep snow",
        "footsteps in snow; snow footsteps; snowy steps", "crunchy; cold; soft; slow",
        "walking on fresh snow; boots crunch in the snow; a walk in winter; steps on packed snow; "
        "running through snow; footsteps on ice and snow; snow underfoot; trudging through snow; treading snow; "
        "a snowy path"),
    "step_water": _words(
        "someone; a child; boots; a horse", "walking in water; wading through puddles; stepping in a puddle",
        "footsteps in water; splashing steps; wet footsteps", "wet; splashy; sloshing; muddy",
        "walking through mud; stepping into puddles; rubber boots in water; wading across a stream; "
        "running in shallow water; steps in mud; a walk in the swamp; splashing through puddles; "
        "walking along the water's edge; muddy boots"),
    "hi_hat": _words(
        "a drummer; a drum machine; a hi-hat; a drum kit", "playing the hi-hat; keeping time on the hi-hat; ticking",
        "hi-hats; hi-hat ticks; closed hi-hats", "tight; crisp; metallic; steady",
        "closed hi-hat; a hi-hat pattern; eighth notes on the hi-hat; a pedal hi-hat; a hi-hat groove; "
        "the hat of a drum kit; an electronic hi-hat; fast hi-hats; playing hats; hi-hat of the drums"),
    "snare_drum": _words(
        "a drummer; a drumstick; a marching band; a snare drum",
        "hitting the snare; playing a snare drum; rolling a snare",
        "snare hits; snare drum; rim shots", "cracking; tight; sharp; loud",
        "snare drum strokes; a snare roll; a marching snare; snare drum of a drum kit; backbeat on the snare; "
        "a rimshot; a drum roll; an electronic snare; a military drum; playing the snare"),
    "bass_drum": _words(
        "a drummer; a drum machine; a pedal; a bass drum", "kicking the bass drum; playing the kick; thumping",
        "kick drum hits; bass drum; kick drum thumps", "deep; dull; punchy; heavy",
        "a kick drum; the bass drum of a drum kit; four on the floor; an electronic kick; a big bass drum; "
        "the kick of a drum set; a concert bass drum; a kick drum beat; a low drum thump; techno kick"),
    "cat": _words(
        "a cat; a kitten; a hungry cat; a house cat", "meowing; mewing; crying for food",
        "cat meows; meowing; a meow", "plaintive; soft; loud; hungry",
        "a cat meows; a kitten mews; meow; a cat calls; an angry cat; a tomcat at night; a cat wants to be let in; "
        "a cat in heat; a begging cat; miaow"),
    "rooster": _words(
        "a rooster; a cock; a cockerel; a hen", "crowing; crowing at dawn; clucking in the yard",
        "rooster crows; a crowing rooster; cock crow", "loud; early; proud; hoarse",
        "a rooster crows; cock-a-doodle-doo; a rooster in the morning; a cock crows on the farm; hens cluck; "
        "chickens in the yard; a chicken clucks; a rooster wakes the village; poultry; the crow of a rooster"),
    "cow": _words(
        "a cow; cattle; a bull; a calf", "mooing; lowing in the field; bellowing",
        "cow moos; mooing; lowing cattle", "deep; long; calm; loud",
        "a cow moos; moo; a herd of cows; a cow in the barn; a calf calls its mother; a bull bellows; "
        "cattle in the meadow; a cow on the farm; a lowing cow; milk cows"),
    "horse": _words(
        "a horse; a pony; a stallion; a mare", "neighing; whinnying; snorting",
        "horse neighs; neighing; a whinny", "nervous; loud; wild; high",
        "a horse neighs; a whinnying horse; a horse snorts in the stable; a pony whinnies; horses on a ranch; "
        "a galloping horse; a stallion rears; a frightened horse; a neigh; a mare calls"),
    "sheep": _words(
        "a sheep; a goat; a lamb; a flock", "bleating; baaing; calling from the pasture",
        "sheep bleats; bleating; a goat's bleat", "shaky; loud; plaintive; nasal",
        "a sheep bleats; a goat bleats; baa; a lamb cries; a flock of sheep; goats on the mountain; "
        "sheep in the field; a bleating lamb; a ram; sheep on a farm"),
    "duck": _words(
        "a duck; ducks; a goose; a mallard", "quacking; honking on the pond; calling",
        "duck quacks; quacking; goose honks", "nasal; noisy; funny; hoarse",
        "a duck quacks; ducks on the lake; geese honking; quack quack; a goose hisses; ducklings; a flock of geese; "
        "a turkey gobbles; feeding ducks; a mallard calls"),
    "bird": _words(
        "a bird; birds; a songbird; a crow", "singing; chirping in a tree; calling",
        "bird song; birds chirping; bird calls", "bright; cheerful; shrill; tropical",
        "a bird sings; birds in the garden; the dawn chorus; a crow caws; an owl hoots; seagulls at the harbour; "
        "a parrot squawks; a pigeon coos; tweeting birds; a raven"),
    "roar": _words(
        "a lion; a tiger; a monster; a dinosaur", "roaring; growling; snarling",
        "roars; monster growls; a beast's roar", "fierce; deep; terrifying; hungry",
        "a lion roars; a tiger snarls; a bear growls; a dinosaur roar; a monster attacks; a beast growls; a dragon; "
        "a zombie groans; a gorilla; a wild animal snarls"),
    "baby_cry": _words(
        "a baby; an infant; a newborn; a toddler", "crying; wailing; sobbing",
        "a baby's cry; crying baby; infant cries", "desperate; loud; hungry; tired",
        "a baby cries; a crying infant; a newborn screams; a baby wailing at night; a hungry baby; a toddler sobs; "
        "a baby wakes up crying; waah; a fussy baby; a baby in the nursery"),
    "sneeze": _words(
        "a person; a man; a woman; someone with a cold", "sneezing; sneezing loudly; going achoo",
        "sneezes; a sneeze; sneezing", "loud; sudden; wet; repeated",
        "achoo; a man sneezes; a woman sneezes; someone sneezes twice; hay fever; a sneezing fit; bless you; "
        "a big sneeze; sneezing into a handkerchief; a person has a cold"),
    "laugh": _words(
        "a person; a man; a woman; a villain", "laughing; giggling; laughing out loud",
        "laughter; a laugh; giggles", "loud; evil; hearty; hysterical",
        "someone laughs; a man laughing; an evil laugh; a hyena giggles; a chuckle; a witch cackles; ha ha ha; "
        "a burst of laughter; a creepy laugh; a woman giggles"),
    "scream": _words(
        "a person; a man; a woman; a victim", "screaming; crying out in pain; groaning in pain",
        "screams; a cry of pain; groans", "terrified; painful; sudden; shrill",
        "a woman screams; a man cries out in pain; someone is hurt; a death scream; a shriek; a horror film scream; "
        "ouch; a wounded soldier; a groan of pain; a person shouts in terror"),
    "bite": _words(
        "someone; a person; a child; a monster", "eating; munching; biting into an apple",
        "bites; munching; crunchy bites", "crunchy; greedy; juicy; loud",
        "eating an apple; munching food; someone eats crisps; a bite of a carrot; chewing; eating toast; "
        "a hungry eater; crunching on celery; eating dinner; a snack"),
    "car_horn": _words(
        "a car; a truck; a taxi; a ship", "honking; sounding its horn; beeping the horn",
        "car horns; honks; horn blasts", "angry; loud; short; deep",
        "a car honks; honk honk; a truck horn; a taxi beeps; a ship's horn; a bicycle horn; horns in a traffic jam; "
        "a driver leans on the horn; a ferry horn; a toot of the horn"),
    "chainsaw": _words(
        "a chainsaw; a lumberjack; a power saw; a forester", "cutting a tree; revving; sawing logs with a chainsaw",
        "chainsaw noise; chainsaws; a chainsaw motor", "aggressive; buzzing; screaming; rough",
        "a chainsaw in the forest; felling a tree with a chainsaw; a running chainsaw; a chainsaw cuts wood; "
        "a two-stroke saw; chainsaw massacre; a lumberjack at work; a circular saw; "
        "trimming branches with a chainsaw; a chainsaw idles"),
    "helicopter": _words(
        "a helicopter; a chopper; a rescue helicopter; a rotor", "flying; hovering; chopping overhead",
        "helicopter noise; rotor blades; helicopter rotors", "chopping; loud; heavy; distant",
        "a helicopter flies over; a hovering helicopter; a police helicopter; a helicopter lands; "
        "rotor blades turning; an army chopper; a helicopter circling; inside a helicopter; a medevac flight; "
        "a chopper takes off"),
    "airplane": _words(
        "an airplane; a jet; a propeller plane; an aircraft", "flying by; taking off; passing overhead",
        "jet noise; airplane noise; aircraft engines", "roaring; distant; whining; loud",
        "a jet takes off; a plane flies over; a propeller plane; an airliner lands; a fighter jet; a fly-by; "
        "an aircraft on the runway; a turboprop; jets at an air show; a plane in the sky"),
    "train": _words(
        "a train; a steam train; a locomotive; a freight train",
        "passing by; rolling on the rails; leaving the station",
        "train noise; wheels on rails; a train passing", "rattling; heavy; rhythmic; fast",
        "a train passes; riding a train; a steam engine puffs; a subway arrives; wagons on rails; "
        "a train at a level crossing; a tram; a mine cart on rails; a diesel locomotive; an express train"),
    "insects": _words(
        "crickets; cicadas; insects; bees", "chirping at night; buzzing; singing in the heat",
        "crickets chirping; cicadas; insect noise", "shrill; warm; buzzing; nocturnal",
        "crickets on a summer night; cicadas in the trees; a bee buzzes; a mosquito; a swarm of bees; "
        "a grasshopper; flies buzzing; night insects; a bumblebee; a fly"),
}
