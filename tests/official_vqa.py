"""VQA v2's accuracy written a second time, letter by letter as its authors describe it, to compare ours with."""

from collections.abc import Sequence

MARKS = ';/[]"{}()=+\\_-><@`,?!'
WORDS = "none zero one two three four five six seven eight nine ten"
FIGURES = "0 0 1 2 3 4 5 6 7 8 9 10"
DIGITS = dict(zip(WORDS.split(" "), FIGURES.split(" "), strict=True))
# What the official table has: each contraction with one apostrophe missing, and the ways in which that goes wrong.
TABLE = """
    aint:ain't arent:aren't cant:can't couldve:could've couldnt:couldn't couldn'tve:couldn't've
    couldnt've:couldn't've didnt:didn't doesnt:doesn't dont:don't hadnt:hadn't hadnt've:hadn't've
    hadn'tve:hadn't've hasnt:hasn't havent:haven't hed:he'd hed've:he'd've he'dve:he'd've hes:he's howd:how'd
    howll:how'll hows:how's isnt:isn't itd:it'd itd've:it'd've it'dve:it'd've itll:it'll let's:let's maam:ma'am
    mightnt:mightn't mightnt've:mightn't've mightn'tve:mightn't've mightve:might've mustnt:mustn't
    mustve:must've neednt:needn't notve:not've oclock:o'clock oughtnt:oughtn't ow's'at:'ow's'at 'ows'at:'ow's'at
    'ow'sat:'ow's'at shant:shan't shed've:she'd've she'dve:she'd've she's:she's shouldve:should've
    shouldnt:shouldn't shouldnt've:shouldn't've shouldn'tve:shouldn't've somebody'd:somebodyd
    somebodyd've:somebody'd've somebody'dve:somebody'd've somebodyll:somebody'll somebodys:somebody's
    someoned:someone'd someoned've:someone'd've someone'dve:someone'd've someonell:someone'll someones:someone's
    somethingd:something'd somethingd've:something'd've something'dve:something'd've somethingll:something'll
    thats:that's thered:there'd thered've:there'd've there'dve:there'd've therere:there're theres:there's
    theyd:they'd theyd've:they'd've they'dve:they'd've theyll:they'll theyre:they're theyve:they've twas:'twas
    wasnt:wasn't wed've:we'd've we'dve:we'd've weve:we've werent:weren't whatll:what'll whatre:what're
    whats:what's whatve:what've whens:when's whered:where'd wheres:where's whereve:where've whod:who'd
    whod've:who'd've who'dve:who'd've wholl:who'll whos:who's whove:who've whyll:why'll whyre:why're whys:why's
    wont:won't wouldve:would've wouldnt:wouldn't wouldnt've:wouldn't've wouldn'tve:wouldn't've yall:y'all
    yall'll:y'all'll y'allll:y'all'll yall'd've:y'all'd've y'alld've:y'all'd've y'all'dve:y'all'd've youd:you'd
    youd've:you'd've you'dve:you'd've youll:you'll youre:you're youve:you've
"""
CONTRACTIONS = dict(pair.split(":") for pair in TABLE.split())


def accuracy(prediction: str, answers: Sequence[str]) -> float:
    """The score of one prediction: answers are processed only where not all of them are the same."""
    people, given = [cleaned(answer) for answer in answers], cleaned(prediction)
    if any(answer != people[0] for answer in people):
        people, given = [processed(answer) for answer in people], processed(given)
    scores = []
    for left_out in range(len(people)):
        others = people[:left_out] + people[left_out + 1 :]
        scores.append(min(1.0, sum(answer == given for answer in others) / 3))
    return sum(scores) / len(scores)


def cleaned(answer: str) -> str:
    """Line ends and tabs as spaces, none around."""
    return "".join(" " if letter in "\n\t" else letter for letter in answer).strip()


def processed(answer: str) -> str:
    """First the punctuation, then full stops, then number words, articles and contractions."""
    out = answer
    thousands = any(
        a.isdecimal() and b == "," and c.isdecimal() for a, b, c in zip(answer, answer[1:], answer[2:], strict=False)
    )
    for mark in MARKS:
        lonely = f" {mark}" in answer or f"{mark} " in answer
        out = "".join(out.split(mark)) if lonely or thousands else " ".join(out.split(mark))
    kept, removed = "", 0
    for place, letter in enumerate(out):
        if letter == "." and removed < 32 and not out[place + 1 : place + 2].isdecimal():
            removed += 1
        else:
            kept += letter
    words = [DIGITS.get(word, word) for word in kept.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ("a", "an", "the"))
