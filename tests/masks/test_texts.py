"""Masks over words: exact gradients, nothing of padding or neighbours in them, and planted evidence found again."""

import math
from dataclasses import replace

import pytest
import torch
from differentiable import WIDE, Answers, layers
from inline import inline
from reading import BEGIN, BLANK, END, PAD, Reader, twin_of
from sidelight.core.ask import Model
from sidelight.core.errors import Unsupported
from sidelight.core.evidence import Evidence
from sidelight.core.inputs import TextInput, TokenInput, words
from sidelight.core.job import Job
from sidelight.core.stream import Stream
from sidelight.core.sweep import Placement, Stop, Stopped, ask
from sidelight.core.target import Link, OutputKind, Target
from sidelight.masks.field import WordField
from sidelight.masks.optimise import optimise
from sidelight.masks.options import TEXT, Comprehensiveness, Kernel
from sidelight.masks.robust import noise
from sidelight.masks.texts import enter_text
from torch import nn

WORDS = "Crème-brûlée wasn’t an unforgettable joy 😀! And so it went on, truly."
LONG = f"{WORDS} It was long, and then it was {WORDS}"
LONGEST = 34  # tokens of the short reader
reader = Reader()


def full(text, longest=10**6):
    """The reader's twin, cut at so many tokens, with padding."""
    found = layers(reader, torch.tensor([reader.ids(text)]))
    twin = twin_of(reader, tuple(replace(layer, shape=(-1, *layer.shape[1:])) for layer in found))
    return replace(
        twin,
        pad=PAD,
        pieces=lambda t: (*twin.pieces(t)[:-1][: longest - 1], twin.pieces("")[-1]),
        ids=lambda t: (*reader.ids(t)[:-1][: longest - 1], END),
    )


def job_of(text=WORDS, longest=10**6, classes=(0, 2), replacement="", **more):
    x = TextInput("x", text, words(text), replacement)
    target = Target(OutputKind.LOGITS, Link.LOGIT, classes=classes)
    twin = more.pop("twin", None) or full(text, longest)
    return Job(Model("m", "1"), x, target, Stream(3), ends=torch.zeros(2, 3).double(), twin=twin, **more)


def asked(job, masks, step=0, draws=False, options=TEXT, targets=None, answers=None, tile=16):
    """The scene and what the masks [T, n] are worth."""

    def plan():
        scene = yield from enter_text(job, options)
        sweep = scene.rows(masks, targets or range(len(masks)), step, draws)
        return scene, (yield from ask(sweep)).value

    return inline(plan(), answers or Answers(reader), tile=tile, on=WIDE)


def some(job, count=2):
    return torch.rand(count, *job.input.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def written(job, mask, c, ratio=False):
    """log p and log(1 - q) (or -log q) of one mask over one baseline of a text that is one window, written down."""
    text, twin = job.input.text, job.twin
    ids = torch.tensor([reader.ids(text)])
    z, b = reader.embed.weight[ids[0]], reader.embed.weight[twin.blank]
    keep = torch.ones(ids.shape[1], dtype=torch.float64)
    kept = []
    for at, (begin, end) in enumerate(reader.pieces(text)):
        found = [j for j, u in enumerate(job.input.units) if u.begin <= begin < end <= u.end]
        if found:
            keep[at] = mask[found[0]]
            kept.append(at)
    rest = keep.clone()
    rest[kept] = 1 - keep[kept]
    logs = []
    for share in (keep, rest):
        with reader.embed.register_forward_hook(
            lambda *_, s=share: (s.unsqueeze(1) * z + (1 - s).unsqueeze(1) * b)[None]
        ):
            logs.append(reader(ids)[0].log_softmax(0))
    q = logs[1][c]
    return logs[0][c], -q if ratio else torch.log1p(-q.exp())


def test_words_are_mixed_with_the_blank_token_and_special_tokens_stay():
    job = job_of()
    masks = some(job)
    _, found = asked(job, masks)
    for t, c in enumerate(job.target.classes):
        log_p, log_not_q = written(job, masks[t], c)
        torch.testing.assert_close(found.log_p[t], log_p)
        torch.testing.assert_close(found.log_not_q[t], log_not_q)
        torch.testing.assert_close(found.p[t], log_p.exp())
        torch.testing.assert_close(found.q[t], 1 - log_not_q.exp())


def test_a_mask_of_ones_keeps_the_text_as_it_is_and_leaves_blanks_in_the_rest():
    job = job_of()
    _, found = asked(job, torch.ones(2, *job.input.shape, dtype=torch.float64))
    p = reader([WORDS])[0].softmax(0)
    blank = torch.tensor([[i if i in (BEGIN, END) else job.twin.blank for i in reader.ids(WORDS)]])
    q = reader(blank)[0].softmax(0)
    torch.testing.assert_close(found.p, p[[0, 2]])
    torch.testing.assert_close(found.q, q[[0, 2]])


@pytest.mark.parametrize("form", Comprehensiveness)
@pytest.mark.parametrize("kind", Evidence)
def test_the_gradient_is_that_of_the_terms(form, kind):
    options = replace(TEXT, comprehensiveness=form, evidence=kind)
    job, eps = job_of("Not a joy, unforgettable!"), 1e-6
    masks = some(job)
    _, found = asked(job, masks, options=options)
    for j in range(job.input.shape[0]):
        ends = []
        for sign in (1, -1):
            near = masks.clone()
            near[:, j] += sign * eps
            _, there = asked(job, near, options=options)
            ends.append(-there.log_p - there.log_not_q)
        torch.testing.assert_close(found.gradient[:, j], (ends[0] - ends[1]) / (2 * eps), rtol=1e-5, atol=1e-8)


def test_the_ratio_asks_for_a_small_log_q():
    job = job_of()
    masks = some(job)
    _, found = asked(job, masks, options=replace(TEXT, comprehensiveness=Comprehensiveness.LOG_RATIO))
    torch.testing.assert_close(found.log_not_q[0], written(job, masks[0], 0, ratio=True)[1])
    torch.testing.assert_close(found.q, (-found.log_not_q).exp())


def test_log_ratio_has_no_least_but_of_mixed_evidence():
    class Sure(nn.Module):
        def __init__(self, gap):
            super().__init__()
            self.embed, self.gap = reader.embed, gap

        def forward(self, ids):
            y = 0 * self.embed(ids).sum((1, 2))
            return torch.stack([y - self.gap, y], 1)

    def log_q(gap, kind):
        options = replace(TEXT, comprehensiveness=Comprehensiveness.LOG_RATIO, evidence=kind)
        job = replace(job_of(classes=(0,)), ends=torch.zeros(2, 2).double())
        return -asked(job, some(job, 1), options=options, answers=Answers(Sure(gap)))[1].log_not_q.item()

    assert log_q(500.0, Evidence.SOFTMAX) == pytest.approx(-500)
    assert log_q(500.0, Evidence.MIXED) == pytest.approx(log_q(900.0, Evidence.MIXED)) == pytest.approx(math.log(5e-6))


def test_terms_over_several_baselines_are_their_mean():
    job = job_of(replacement="so")
    other = replace(job.input, replacement="very bad")
    masks = some(job)
    _, both = asked(replace(job, others=(other,)), masks)
    each = [asked(replace(job, input=x), masks)[1] for x in (job.input, other)]
    for name in ("log_p", "log_not_q", "p", "q", "gradient"):
        torch.testing.assert_close(getattr(both, name), (getattr(each[0], name) + getattr(each[1], name)) / 2)
    assert not torch.allclose(each[0].log_p, each[1].log_p)


def test_a_mask_of_one_target_is_worth_the_same_without_the_other():
    job = job_of()
    masks = some(job)
    for draws in (False, True):
        # One row at a time: what a network makes of one must not depend on the others here, and does on some CPUs.
        _, both = asked(job, masks, 4, draws, tile=1)
        _, second = asked(job, masks[1:], 4, draws, targets=(1,), tile=1)
        assert torch.equal(both.log_p[1:], second.log_p) and torch.equal(both.gradient[1:], second.gradient)


# -- padding


@pytest.mark.parametrize(("joys", "multiple"), [(10, 8), (33, 4)])
def test_lengths_are_filled_up_with_padding_longer_ones_to_a_finer_multiple_and_the_outputs_stay(joys, multiple):
    job = job_of("joy " * joys)
    length = len(reader.ids(job.input.text))
    scene, found = asked(job, some(job))
    filled = -(-length // multiple) * multiple
    assert length % multiple and filled % 16 == (0 if multiple == 8 else 4) and scene.ids.shape == (1, filled)
    assert scene.ids[0, length:].tolist() == [PAD] * (filled - length)
    bare, alone = asked(replace(job, twin=replace(job.twin, pad=None)), some(job))
    assert bare.ids.shape == (1, length)
    torch.testing.assert_close(found.log_p, alone.log_p, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.gradient, alone.gradient, rtol=1e-9, atol=1e-12)


def test_texts_of_like_length_share_batches_and_each_comes_out_the_same_to_the_last_bit():
    jobs = [job_of(t) for t in ("An unforgettable joy, truly.", "A joy, and on it went.", "So it went on and on.")]
    scenes = [asked(job, some(job))[0] for job in jobs]
    sweeps = [scene.rows(some(job), (0, 1), 0, True) for scene, job in zip(scenes, jobs, strict=True)]
    assert len({(s.ask, s.like) for s in sweeps}) == 1
    answers, together = Answers(reader), {}
    rows = [sweep.render(range(sweep.size), WIDE) for sweep in sweeps]
    for name in rows[0][0]:
        together[name] = torch.cat([columns[name] for columns, _ in rows])
    out, at = answers(sweeps[0].ask, together), 0
    for sweep, (_, memo), job in zip(sweeps, rows, jobs, strict=True):
        sweep.fold.add(range(sweep.size), memo, {n: v[at : at + sweep.size] for n, v in out.items()})
        at += sweep.size
        torch.testing.assert_close(sweep.fold.value().log_p, asked(job, some(job), 0, True)[1].log_p)
    one, other = sweeps[0].render(range(3, 4), WIDE)[0], rows[0][0]
    assert all(torch.equal(one[name][0], other[name][3]) for name in one)


def test_tiles_do_not_change_a_bit():
    job = job_of(LONG, LONGEST)
    found = [asked(job, some(job), 2, True, tile=tile)[1] for tile in (1, 3, 64)]
    # The reader's own rows may differ in a batch of another size: compare what is made of equal rows.
    for other in found[1:]:
        torch.testing.assert_close(found[0].gradient, other.gradient, rtol=1e-12, atol=1e-14)


def test_a_twin_that_does_not_leave_padding_out_gets_none():
    class Naive(Reader):
        def forward(self, rows):
            return super().forward(torch.where(rows == PAD, 7, rows))

    job = job_of("An unforgettable joy, truly.")
    scene, _ = asked(job, some(job), answers=Answers(Naive()))
    assert scene.ids.shape == (1, len(reader.ids(job.input.text)))
    with pytest.raises(Unsupported, match="attribute `pad`"):
        asked(job_of(LONG, LONGEST), some(job_of(LONG)), answers=Answers(Naive()))


def test_a_text_is_filled_up_to_no_more_than_the_model_takes():
    text = " ".join(["joy"] * 27)
    job = job_of(text, 30)
    assert len(job.twin.ids(text)) == 29
    assert asked(job, some(job))[0].ids.shape == (1, 30)
    assert asked(job_of("joy", 6), some(job_of("joy")))[0].ids.shape == (1, 6)


# -- windows


def one_window(job, window, masks):
    """What the masks are worth for the text of one window alone."""
    text = job.input.text[job.input.units[window.words.start].begin :]
    text = text[: max(piece.end for piece in job.twin.pieces(text))]  # what of it the tokenizer takes
    return asked(job_of(text), masks[:, window.words.start : window.words.stop])[1]


def test_terms_of_a_long_text_are_the_mean_over_its_windows():
    job = job_of(LONG, LONGEST)
    masks = some(job)
    scene, found = asked(job, masks)
    assert len(scene.windows) > 2 and len({len(w.ids) for w in scene.windows}) > 1
    alone = [one_window(job, window, masks) for window in scene.windows]
    for name in ("log_p", "log_not_q", "p", "q"):
        torch.testing.assert_close(getattr(found, name), torch.stack([getattr(a, name) for a in alone]).mean(0))


def test_the_gradient_of_a_long_text_is_the_mean_over_its_windows():
    job = job_of(LONG, LONGEST)
    masks = some(job)
    scene, found = asked(job, masks)
    pulls = torch.zeros(2, *job.input.shape, dtype=torch.float64)
    for window in scene.windows:
        pulls[:, window.words.start : window.words.stop] += one_window(job, window, masks).gradient
    torch.testing.assert_close(found.gradient, pulls / len(scene.windows))


# -- draws


def test_snapped_words_are_shown_as_0_or_1_and_have_no_gradient():
    options = replace(TEXT, snap=0.2, noise=0.0)
    job = job_of(LONG)
    masks = some(job)
    _, drawn = asked(job, masks, 1, True, options)
    dead = drawn.gradient[0] == 0
    assert 0 < int(dead.sum()) < len(dead) and torch.equal(dead, drawn.gradient[1] == 0)
    _, still = asked(job, masks, 1, False, options)
    assert (still.gradient != 0).all()
    moved = masks.clone()
    moved[:, dead] = 0.123
    assert torch.equal(asked(job, moved, 1, True, options)[1].log_p, drawn.log_p)
    assert not torch.equal(still.log_p, drawn.log_p)


def test_noise_is_the_steps_own_whatever_the_target_and_the_padding():
    options = replace(TEXT, snap=0.0)
    job = job_of("An unforgettable joy, truly.")
    masks = some(job)
    first, again = (asked(job, masks, 3, True, options)[1] for _ in range(2))
    assert torch.equal(first.log_p, again.log_p) and torch.equal(first.gradient, again.gradient)
    assert not torch.equal(first.log_p, asked(job, masks, 4, True, options)[1].log_p)
    assert not torch.equal(first.log_p, asked(job, masks, 3, False, options)[1].log_p)
    bare = asked(replace(job, twin=replace(job.twin, pad=None)), masks, 3, True, options)[1]
    torch.testing.assert_close(first.log_p, bare.log_p, rtol=1e-12, atol=1e-12)


def test_no_two_steps_or_sides_share_noise():
    drawn = torch.cat([noise(3, 5, 1.0, Stream(1), step, 0).flatten() for step in range(4)])
    assert len(drawn.unique()) == 4 * 2 * 3 * 5


def test_what_is_kept_and_the_rest_have_noise_of_their_own():
    options = replace(TEXT, snap=0.0, noise=0.5)
    job = job_of("An unforgettable joy, truly.", classes=(0,))
    half = torch.full((1, *job.input.shape), 0.5, dtype=torch.float64)  # so that both sides are the same but for it
    scene, _ = asked(job, half, options=options)
    columns, _ = scene.rows(half, (0,), 2, True).render(range(2), WIDE)
    inside = slice(1, len(reader.ids(job.input.text)) - 1)
    kept, rest = columns["a.embed"][:, inside]
    assert (kept - rest).std() == pytest.approx(0.5 * math.sqrt(2), rel=0.25)


# -- what is refused, and other inputs


def test_token_ids_are_masked_by_token_and_agree_with_the_text_that_they_spell():
    text = "a joy"
    job = job_of(text)
    ids = TokenInput("x", torch.tensor(reader.ids(text)), job.twin.blank)
    by_token = torch.tensor([[0.1, 0.2, 0.7, 0.4]], dtype=torch.float64)
    scene, found = asked(replace(job, input=ids), by_token, targets=(0,))
    _, wanted = asked(job, by_token[:, 1:3], targets=(0,))
    torch.testing.assert_close(found.log_p, wanted.log_p)
    torch.testing.assert_close(found.gradient, torch.nn.functional.pad(wanted.gradient, (1, 1)))
    assert scene.shape == (4,) and scene.ids.shape == (1, 4)


def test_a_twin_without_an_embedding_is_refused_with_what_it_lacks():
    job = job_of()
    with pytest.raises(Unsupported, match="attribute `embedding`"):
        asked(replace(job, twin=replace(job.twin, embedding="")), some(job))
    with pytest.raises(Unsupported, match="twin"):
        asked(replace(job, twin=None), some(job))


def test_what_ends_before_the_embeddings_are_known_is_no_scene():
    plan = enter_text(job_of(), TEXT)
    next(plan)
    with pytest.raises(Stopped):
        plan.throw(Stopped(Stop.DEADLINE))


def test_rows_are_made_in_the_precision_of_the_model():
    scene, _ = asked(job_of(), some(job_of()))
    columns, _ = scene.rows(some(job_of()), (0, 1), 0, True).render(range(2), Placement())
    assert columns["a.embed"].dtype == torch.float32 and columns["w"].dtype == torch.float64


# -- the words that are the reason


class Planted(nn.Module):
    """Ids [n, L] -> two logits: planted words speak for the second, saturating, each other word a little against it."""

    embedding = "embed"

    def __init__(self, planted):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.planted = nn.Embedding(200, 16, padding_idx=PAD), planted
        self.embed.weight.data *= 0.2
        self.embed.weight.data[:, 0] = -0.1
        self.embed.weight.data[list(planted), 0] = 1.0
        self.embed.weight.data[[PAD, BEGIN, END, BLANK]] = 0.0
        self.double().requires_grad_(False)

    def forward(self, ids):
        h = self.embed(ids) * (ids != PAD).unsqueeze(-1)
        evidence = 8 * torch.tanh(2 * h[..., 0].sum(1) / len(self.planted)) - 4
        other = h[..., 1:].sum((1, 2)) / 20
        return torch.stack([other, evidence], 1)


def spelled(text, net):
    """A twin whose words are its tokens, numbered as `wNN`."""
    inner = twin_of(reader)

    def ids(t):
        return (BEGIN, *[int(t[u.begin + 1 : u.end]) for u in words(t)], END)

    return replace(
        inner,
        layers=layers(net, torch.tensor([ids(text)])),
        pad=PAD,
        ids=ids,
        pieces=lambda t: (inner.pieces("")[0], *words(t), inner.pieces("")[-1]),
    )


@pytest.mark.parametrize(
    ("runs", "n"), [([range(12, 18)], 40), ([range(5, 11), range(22, 29)], 40), ([range(0, 9)], 30)]
)
def test_planted_evidence_is_recovered_word_for_word(runs, n):
    there = {j for run in runs for j in run}
    net = Planted({10 + j for j in there})
    text = " ".join(f"w{10 + j}" for j in range(n))
    job = Job(
        Model("m", "1"), TextInput("x", text, words(text)), Target(OutputKind.LOGITS, Link.LOGIT, classes=(1,)),
        Stream(1), ends=torch.zeros(2, 2).double(), twin=spelled(text, net),
    )  # fmt: skip
    found = inline(optimise(job, TEXT), Answers(net), on=WIDE)
    kept = {j for j in range(n) if found.maps[0, j] >= 0.5}
    assert len(kept & there) / len(kept | there) >= 0.9
    spans = found.optimised[0].spans
    assert len(spans) == len(runs)
    assert [f"w{10 + j}" for j in sorted(kept)] == [word for s in spans for word in text[s.begin : s.end].split()]


@pytest.mark.parametrize(("kernel", "lambda0"), [(Kernel.SIGMA_SQUARED, 0.986), (Kernel.SIGMA, 0.953)])
def test_the_first_masks_of_texts_are_the_papers(kernel, lambda0):
    options = replace(TEXT, kernel=kernel)
    scene, _ = asked(job_of(LONG), some(job_of(LONG)))
    field = scene.field(options)
    assert isinstance(field, WordField) and field.shape == scene.shape
    mask = field.mask(field.start())
    assert float(mask[len(mask) // 2]) == pytest.approx(lambda0, abs=5e-4)
