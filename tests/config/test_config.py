"""The configuration: every mistake is an error that names the key, and what is printed is what there is."""

import dataclasses
import tomllib

import pytest
from sidelight import __main__ as command
from sidelight import config as configuration
from sidelight.config import SECTIONS, ConfigError, Editor, Embedded, Model, load

MODEL = '[[models]]\nname = "m"\ntriton = "localhost:8001"\n'
EDITOR = '[[editors]]\nkind = "sdedit"\nmodel = "somebody/pipeline"\n'
CARD = 'model = "m"\nkind = "image"\n'


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "sidelight.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


WRONG = {
    "not TOML": ("[server", "", "is not TOML"),
    "no models": ("", "models", "at least one model"),
    "unknown section": ("[sever]\nport = 1\n" + MODEL, "sever", "did you mean server"),
    "unknown key": ("[server]\nprot = 1\n" + MODEL, "server.prot", "did you mean port"),
    "text for a number": ('[server]\nport = "8085"\n' + MODEL, "server.port", "a whole number"),
    "fraction for a whole number": ("[server]\nport = 80.5\n" + MODEL, "server.port", "a whole number"),
    "truth for a number": ("[server]\nport = true\n" + MODEL, "server.port", "a whole number"),
    "port out of range": ("[server]\nport = 65536\n" + MODEL, "server.port", "in 0..65535"),
    "negative drain": ("[server]\ndrain_seconds = -1\n" + MODEL, "server.drain_seconds", "in 0..3600"),
    "drain NaN": ("[server]\ndrain_seconds = nan\n" + MODEL, "server.drain_seconds", "in 0..3600"),
    "number for a text": ("[server]\nhost = 1\n" + MODEL, "server.host", "a text"),
    "token that is none": ("[server]\ntokens = [1]\n" + MODEL, "server.tokens", "a list of texts"),
    "certificate without key": ('[server]\ncertificate = "c.pem"\n' + MODEL, "server.key", "both"),
    "log level": ('[logging]\nlevel = "loud"\n' + MODEL, "logging.level", "debug, info, warning, error"),
    "section that is no table": ("server = 1\n" + MODEL, "server", "a table"),
    "models that are no list": ("[models]\nname = 1\n", "models", r"\[\[models\]\]"),
    "unknown key of a model": (MODEL + 'tritn = "x:1"\n', "models[0].tritn", "did you mean triton"),
    "neither triton nor embedded": ('[[models]]\nname = "m"\n', "models[0]", "either triton"),
    "nameless": ('[[models]]\ntriton = "localhost:1"\n', "models[0].name", "no card"),
    "address without port": ('[[models]]\nname = "m"\ntriton = "localhost"\n', "models[0].triton", "host:port"),
    "name twice": (MODEL + MODEL, "models[0].name", "unique"),
    "two ways to one Triton": (
        MODEL + '[[models]]\nname = "n"\ntriton = "localhost:8001"\nconcurrency = 3\n',
        "models[1].concurrency",
        "the same as",
    ),
    "nothing embedded": ('[[models]]\nname = "m"\nembedded = {}\n', "models[0].embedded", "exactly one"),
    "two embedded": (
        '[[models]]\nname = "m"\nembedded = {onnx = "sidelight.toml", factory = "a:b"}\n',
        "models[0].embedded",
        "exactly one",
    ),
    "no such file": (
        '[[models]]\nname = "m"\nembedded = {onnx = "m.onnx"}\n',
        "models[0].embedded.onnx",
        "there is no",
    ),
    "factory without function": (
        '[[models]]\nname = "m"\nembedded = {factory = "m"}\n',
        "models[0].embedded.factory",
        "function",
    ),
    "editors that are no list": (MODEL + "[editors]\nkind = 1\n", "editors", r"\[\[editors\]\]"),
    "an editor of no kind": (MODEL + '[[editors]]\nmodel = "m"\n', "editors[0].kind", "is needed"),
    "an editor without weights": (MODEL + '[[editors]]\nkind = "sdedit"\n', "editors[0].model", "is needed"),
    "unknown key of an editor": (MODEL + EDITOR + "devise = 1\n", "editors[0].devise", "did you mean device"),
    "precision of an editor": (MODEL + EDITOR + 'precision = "int8"\n', "editors[0].precision", "one of auto"),
    "name of an editor": (MODEL + EDITOR + 'name = "a b"\n', "editors[0].name", "letters, digits"),
    "two editors of one name": (MODEL + EDITOR + EDITOR, "editors[0].name", "unique"),
    "folder of an editor": (MODEL + EDITOR.replace("somebody/", "./"), "editors[0].model", "there is no"),
    "no room for a frame": ("[limits]\nframe_bytes = 1\n" + MODEL, "limits.frame_bytes", "in 1048576"),
    "a cache of less than nothing": (
        "[engine]\nframe_cache_bytes = -1\n" + MODEL,
        "engine.frame_cache_bytes",
        "in 0",
    ),
    "arguments of a file": (
        '[[models]]\nname = "m"\nembedded = {onnx = "sidelight.toml", arguments = {a = 1}}\n',
        "models[0].embedded.arguments",
        "factory",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_names_the_key_the_file_and_what_would_do(name, file):
    text, key, mend = WRONG[name]
    path = file(text)
    with pytest.raises(ConfigError, match=mend) as wrong:
        load(path, {})
    assert wrong.value.key == key
    assert str(path) in str(wrong.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load(tmp_path / "nowhere.toml", {})


def test_files_are_relative_to_the_file_that_names_them(file, tmp_path):
    file("", "m.onnx")
    text = '[[models]]\nname = "m"\ncard = "cards/m.toml"\nembedded = {onnx = "m.onnx"}\n'
    (model,) = load(file(text), {}).models
    assert (model.card, model.embedded.onnx) == (tmp_path / "cards" / "m.toml", tmp_path / "m.onnx")
    (model,) = load(file('[[models]]\nname = "m"\nembedded = {factory = "m.py:make"}\n'), {}).models
    assert model.embedded.factory == f"{tmp_path / 'm.py'}:make"


def test_an_editors_weights_are_in_a_folder_beside_the_configuration_or_on_the_hub(file, tmp_path):
    (tmp_path / "pipeline").mkdir()
    local = '[[editors]]\nkind = "sdedit"\nname = "local"\nmodel = "pipeline"\nbatch_rows = 3\n'
    hub, here = load(file(MODEL + EDITOR + local), {}).editors
    assert (hub.label, hub.model, hub.precision, hub.batch_rows) == ("sdedit", "somebody/pipeline", "auto", None)
    assert (here.label, here.model, here.batch_rows) == ("local", str(tmp_path / "pipeline"), 3)


def test_check_says_that_an_editor_is_of_no_kind_that_there_is(file, capsys):
    path = file(MODEL + EDITOR.replace("sdedit", "photoshop"))
    assert command.main(["--config", str(path), "--check"]) == 2
    assert "editors[0].kind" in (error := capsys.readouterr().err) and "photoshop" in error
    path = file(MODEL + EDITOR.replace("sdedit", "parametric"))  # which is there without
    assert command.main(["--config", str(path), "--check"]) == 2


def test_the_environment_comes_after_the_file_and_is_as_strict(file):
    path = file("[server]\nport = 1\n" + MODEL)
    environment = {
        "SIDELIGHT_SERVER__PORT": "2",
        "SIDELIGHT_SERVER__TOKENS": "a, b",
        "SIDELIGHT_SERVER__HOST": "0.0.0.0",
        "SIDELIGHT_LOGGING__FORMAT": "text",
        "SIDELIGHTS": "somebody else's",
    }
    config = load(path, environment)
    assert (config.server.port, config.server.tokens, config.server.host) == (2, ("a", "b"), "0.0.0.0")
    assert config.logging.format == "text"
    for variable, mend in (
        ("SIDELIGHT_SERVER__PRT", "did you mean port"),
        ("SIDELIGHT_SEVER__PORT", "did you mean server"),
        ("SIDELIGHT_SERVER__PORT", "a whole number"),
    ):
        with pytest.raises(ConfigError, match=mend) as wrong:
            load(path, {variable: "x"})
        assert wrong.value.key == variable


def test_arguments_come_last(file):
    config = load(file("[server]\nport = 1\n" + MODEL), {"SIDELIGHT_SERVER__PORT": "2"}, server={"port": 3})
    assert config.server.port == 3
    with pytest.raises(ConfigError, match=r"arguments: server\.port"):
        load(file(MODEL), {}, server={"port": -1})


def test_one_command_explains_a_model_without_a_file():
    (model,) = load(None, {}, model={"name": "m", "triton": "localhost:8001"}).models
    assert (model.name, model.triton, model.card) == ("m", "localhost:8001", None)


def test_what_is_printed_is_toml_has_every_key_and_is_the_defaults():
    printed = configuration.documented()
    tables = tomllib.loads(printed)
    for name, kind in SECTIONS.items():
        for field in dataclasses.fields(kind):
            assert f"{field.name} =" in printed
            if field.default is not None:
                value = tables[name][field.name]
                assert (tuple(value) if isinstance(value, list) else value) == field.default
    for field in (*dataclasses.fields(Model), *dataclasses.fields(Embedded), *dataclasses.fields(Editor)):
        assert f"# {field.name} =" in printed
    assert load_text(printed) == load_text("")


def load_text(text: str):
    tables = tomllib.loads(text)
    return {name: configuration._section(kind, tables.get(name, {}), "", name, None) for name, kind in SECTIONS.items()}


def test_check_says_that_it_is_good_or_what_is_not(file, capsys):
    file(CARD, "m.toml")
    good = file('[[models]]\ncard = "m.toml"\ntriton = "localhost:1"\n')
    assert command.main(["--config", str(good), "--check"]) == 0
    assert "is good: m" in capsys.readouterr().out
    assert command.main(["--config", str(good), "--check", "--port", "99999"]) == 2
    assert "server.port" in capsys.readouterr().err


def test_check_reads_the_cards(file, capsys):
    file(CARD + "[input]\nresise = 3\n", "m.toml")
    assert command.main(["--config", str(file('[[models]]\ncard = "m.toml"\ntriton = "x:1"\n')), "--check"]) == 2
    error = capsys.readouterr().err
    assert "models[0].card" in error
    assert "input.resise" in error


def test_a_name_that_contradicts_the_card_is_a_mistake(file, capsys):
    file(CARD, "m.toml")
    path = file('[[models]]\nname = "other"\ncard = "m.toml"\ntriton = "x:1"\n')
    assert command.main(["--config", str(path), "--check"]) == 2
    assert "models[0].name" in capsys.readouterr().err
