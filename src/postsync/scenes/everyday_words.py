"""Everyday words of prompts beyond the captions, which the mini's vocabulary keeps as whole words."""

EVERYDAY_TEXT = """
the of and to in is it that was for on are with as his they be at one have this from or had by but some what there we
can out other were all your when up use how said an each she which do their time if will way about many then them would
write like so these her long make thing see him two has look more day could go come did my no most who over know than
call first people may down side been now find any new work part take get place made live where after back little only
round man year came show every good me give our under name very through just form much great think say help low line
before turn cause same mean differ move right boy old too does tell sentence set three want air well also play small end
put home read hand port large spell add even land here must big high such follow act why ask men change went light kind
off need house picture try us again animal point mother world near build self earth father head stand own page should
country found answer school grow study still learn plant cover food sun four thought let keep eye never last door
between city tree cross since hard start might story saw far sea draw left late run while press close night real life
few stop open seem together next white children begin got walk example ease paper often always music those both mark
book letter until mile river car feet care second group carry took rain eat room friend began idea fish mountain north
once base hear horse cut sure watch color face wood main enough plain girl usual young ready above ever red list though
feel talk bird soon body dog family direct pose leave song measure state product black short class wind question happen
complete ship area half rock order fire south problem piece told knew pass farm top whole king size heard best hour
better true during hundred am remember step early hold west ground interest reach fast five sing listen six table
travel less morning ten simple several toward war lay against pattern slow center love person money serve appear road
map science rule govern pull cold notice voice fall power town fine certain fly unit lead cry dark machine note wait
plan figure star box noun field rest correct able pound done beauty drive stood contain front teach week final gave
green quick develop sleep warm free minute strong special mind behind clear tail produce fact street inch lot nothing
course stay wheel full force blue object decide surface deep moon island foot yet busy test record boat common gold
possible plane age dry wonder laugh thousand ago ran check game shape yes hot miss brought heat snow bed bring sit
perhaps fill east weight language among
sound sounds noise noises audio effect effects foley ambience ambient background foreground clip video film movie scene
recording recorded microphone close distant echo echoing reverb reverberant dry wet mono stereo quality clean crisp
muffled loud louder loudest quiet quieter silent silence soft softly hard gently heavily slowly quickly suddenly
rhythmic rhythmically steady irregular repeated repeatedly continuous single double triple several multiple fast slow
bright dull sharp blunt hollow thick thin rough smooth tonal noisy high low pitched pitch tone tones volume beat beats
hit hits hitting struck strike strikes striking tap taps tapping knock knocks bang bangs banging slam slams slamming
crash crashes crashing smash smashing shatter shattering break breaks breaking crack cracks cracking snap snaps snapping
pop pops popping click clicks clicking clack clank clang clink clatter rattle rattles rattling thud thuds thump thumps
drop drops dropped dropping fall falls fell falling roll rolls rolling slide slides sliding scratch scratches scrape
scrapes rub rubs grind grinds squeak squeaks squeal creak creaks creaking rustle rustles hiss hissing buzz buzzing hum
hums whir whirring drone roar roars roaring rumble rumbles rumbling boom booms whoosh swoosh swish drip drips dripping
splash splashing pour pours pouring bubble bubbling gurgle boil boiling sizzle sizzling fry frying burn burns blow blows
blowing howl howls ring rings ringing chime chimes toll jingle bell bells horn horns honk honking siren alarm beep
engine engines motor car cars truck bus train plane airplane helicopter motorcycle bike bicycle boat ship tractor
drill drilling saw sawing hammering nail nails screw screwdriver wrench tool tools workshop construction factory machine
machines kitchen cooking knife knives fork spoon plate plates cup cups bowl pot pan bottle bottles jar can cans lid
door doors window windows floor floors wall walls roof stairs stairway hallway bathroom bedroom garage garden yard
street road park forest woods jungle desert beach ocean lake river sea pool mountain cave field farm city village
dog dogs cat cats bird birds horse horses cow pig sheep chicken rooster duck frog insect insects cricket bee wolf lion
bark barks meow purr chirp chirping tweet crow quack moo neigh growl growling snarl whine panting breathing breath
man men woman women boy girl child kids baby babies people person someone somebody speech speaking talk talks voice
voices shout shouting scream screaming laugh laughing laughter cry crying cough sneeze sigh whisper whispering singing
applause cheering clap claps crowd audience stadium party
music musical instrument instruments piano guitar violin cello flute trumpet saxophone organ harp drum drums drumming
snare kick tom toms cymbals hat percussion tambourine shaker maraca xylophone marimba triangle gong synth bass
rain raining rainy thunder lightning storm stormy wind windy snow hail wave waves stream waterfall fire flame volcano
earthquake explosion explode explodes blast gun guns shot shots gunshot rifle pistol bomb firework fireworks rocket
sword swords punch punches kick kicks slap slaps fight fighting footstep shoe shoes boot boots heel heels sneakers
step steps stepping walks walker running jump jumps jumping landing sport tennis basketball football soccer golf skate
skateboard ski bowling ball balls bat throw throws catch wood wooden metal metallic steel iron copper brass tin glass
ceramic porcelain plastic rubber paper cardboard stone stones concrete brick sand gravel mud grass leaf leaves branch
cloth fabric leather silk cotton wool carpet water ice liquid oil bone skin typing keyboard mouse phone telephone clock
television radio camera shutter printer computer robot laser spaceship magic monster ghost zip zipper velcro button
coin coins key keys chain chains rope bag box boxes drawer chair table bed lamp switch light elevator vacuum washing
toilet shower faucet sink brush brushing teeth shaving scissors tape balloon bubble toy toys dice cards chess
without no not only just also very really quite
zero seven eight nine eleven twelve twenty hundred
"""
