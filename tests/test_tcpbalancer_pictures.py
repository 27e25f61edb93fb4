"""The balancer example's pictures: resizing them, drawing them, showing them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples.tcpbalancer import resizing
from examples.tcpbalancer.pictures import SAMPLES, Sample, written
from examples.tcpbalancer.resizing import MAX_SIDE, Refused, Wanted, fitted, resize
from examples.tcpbalancer.sheets import Card, contact_sheet

ROOT = Path(__file__).resolve().parents[1]


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (80, 60), mode: str = "RGB", **options: Any
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, None if mode == "P" else 120).save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def refusal(data: bytes, width: int = 10, height: int = 10) -> str:
    with pytest.raises(Refused) as caught:
        resize(data, Wanted(width, height))
    return caught.value.code


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_comes_back_in_its_own_format_and_really_of_the_size_reported(kind: str) -> None:
    result = resize(picture(kind), Wanted(20, 15))
    assert (result.format, result.width, result.height) == (kind, 20, 15)
    assert (opened(result.data).format, opened(result.data).size) == (kind, (20, 15))
    assert result.seconds >= 0


@pytest.mark.parametrize(
    ("wanted", "real"), [((40, 0), (40, 30)), ((0, 15), (20, 15)), ((7, 50), (7, 50))]
)
def test_a_side_of_0_keeps_the_proportions_and_two_sides_are_obeyed(
    wanted: tuple[int, int], real: tuple[int, int]
) -> None:
    assert fitted(*wanted, (80, 60)) == real


@pytest.mark.parametrize(
    ("wanted", "real"), [((40, 40), (40, 30)), ((40, 10), (13, 10)), ((20, 0), (20, 15))]
)
def test_to_fit_is_to_keep_the_proportions_within_both_sides(
    wanted: tuple[int, int], real: tuple[int, int]
) -> None:
    result = resize(picture(), Wanted(*wanted, "fit"))
    assert opened(result.data).size == (result.width, result.height) == real


def striped(turned: bool = False) -> bytes:
    """A wide picture, or the same for a phone held upright: red, a middle of green, red."""
    image, out = Image.new("RGB", (300, 100), "red"), io.BytesIO()
    image.paste("lime", (100, 0, 200, 100))
    exif = Image.Exif()
    if turned:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[resizing.ORIENTATION] = 6
    image.save(out, "JPEG", quality=95, subsampling=0, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("turned", [False, True])
def test_to_cover_is_to_cut_off_what_is_too_much_on_both_ends(turned: bool) -> None:
    result = opened(resize(striped(turned), Wanted(20, 20, "cover")).data)
    assert result.size == (20, 20)
    for corner in ((1, 1), (18, 1), (1, 18), (18, 18)):
        red, green, _ = result.getpixel(corner)
        assert green > 200 > 60 > red


def test_another_format_can_be_asked_for_and_what_was_transparent_is_white_in_a_jpeg() -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(clear, "PNG")
    result = resize(clear.getvalue(), Wanted(10, 10, format="JPEG"))
    assert (result.format, opened(result.data).format) == ("JPEG", "JPEG")
    assert opened(result.data).getpixel((5, 5)) == (255, 255, 255)
    assert opened(resize(picture(), Wanted(10, 10, format="PNG")).data).format == "PNG"


def test_a_lower_quality_makes_smaller_files() -> None:
    noise = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noise, "JPEG")
    sizes = [len(resize(noise.getvalue(), Wanted(100, 0, quality=q)).data) for q in (20, 85)]
    assert sizes[0] < sizes[1] / 2


def test_a_sliver_never_gets_a_side_of_0() -> None:
    assert fitted(10, 0, (5000, 2)) == (10, 1)


@pytest.mark.parametrize(
    "size", [(0, 0), (-1, 5), (MAX_SIDE + 1, 1), (0, MAX_SIDE + 1), (8000, 8000)]
)
def test_a_size_out_of_bounds_is_a_bad_request(size: tuple[int, int]) -> None:
    assert refusal(picture(), *size) == "BAD_REQUEST"


def test_what_is_neither_jpeg_nor_png_is_no_picture() -> None:
    assert refusal(b"") == "NOT_A_PICTURE"
    assert refusal(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "NOT_A_PICTURE"
    assert refusal(picture("GIF")) == "NOT_A_PICTURE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_cut_short_is_damaged(kind: str) -> None:
    noisy = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noisy, kind)
    assert refusal(noisy.getvalue()[:9000]) == "DAMAGED"


def test_trailing_bytes_do_not_come_back() -> None:
    clean, dirty = resize(picture(), Wanted(20, 0)), resize(picture() + b"T" * 1000, Wanted(20, 0))
    assert dirty.data == clean.data


def test_more_pixels_than_allowed_are_too_large_before_they_are_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = picture(size=(80, 60))
    monkeypatch.setattr(resizing, "MAX_PIXELS", 4799)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was unpacked"))
    assert refusal(data) == "TOO_LARGE"


@pytest.mark.parametrize("limit", [3000, 1000])  # Pillow warns above it, and refuses above twice it
def test_what_pillow_takes_for_a_bomb_is_too_large(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    monkeypatch.setattr(resizing, "MAX_PIXELS", limit)
    assert refusal(picture()) == "TOO_LARGE"


def test_a_picture_taken_sideways_comes_back_upright_and_bare_of_metadata() -> None:
    exif = Image.Exif()
    exif[resizing.ORIENTATION] = 6
    result = resize(picture(size=(80, 60), exif=exif), Wanted(30, 0))
    assert (result.width, result.height) == (30, 40)
    assert opened(result.data).size == (30, 40)
    assert not opened(result.data).getexif()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_resized(mode: str) -> None:
    result = resize(picture("PNG", mode=mode), Wanted(20, 15))
    assert opened(result.data).size == (20, 15)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_can_be_resized(mode: str) -> None:
    assert opened(resize(picture(mode=mode), Wanted(20, 15)).data).size == (20, 15)


def test_a_jpeg_of_more_scans_than_anybody_needs_is_too_large_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = picture(progressive=True)
    scan = whole[whole.rfind(resizing.START_OF_SCAN) : -2]
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("was decoded"))
    assert refusal(whole[:-2] + scan * 100 + whole[-2:]) == "TOO_LARGE"


def test_bytes_that_look_like_scans_are_nothing_to_a_png() -> None:
    assert resize(picture("PNG") + resizing.START_OF_SCAN * 200, Wanted(20, 15)).format == "PNG"


def grey_of_16_bits(*values: int, **options: Any) -> bytes:
    """A PNG that has a column of 20 pixels' width for each of *values*."""
    image = Image.new("I;16", (20 * len(values), 20))
    for i, value in enumerate(values):
        image.paste(value, (20 * i, 0, 20 * i + 20, 20))
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def test_grey_of_16_bits_keeps_its_shades() -> None:
    result = opened(resize(grey_of_16_bits(0, 100 * 257, 65535), Wanted(60, 20)).data)
    assert [result.getpixel((x, 10)) for x in (10, 30, 50)] == [0, 100, 255]


def test_grey_of_16_bits_keeps_its_shades_and_its_transparency() -> None:
    data = grey_of_16_bits(0, 100 * 257, 65535, transparency=65535)
    result = opened(resize(data, Wanted(60, 20)).data)
    assert result.getpixel((30, 10)) == (100, 100, 100, 255)
    assert [result.getpixel((x, 10))[3] for x in (10, 50)] == [255, 0]


# In a process of its own, where nobody else has imported what Pillow needs.
OUT_OF_FILES = """
import resource, sys
from examples.tcpbalancer import resizing, workers
workers.Resizer()
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
print(resizing.resize(bytes.fromhex(sys.argv[1]), resizing.Wanted(4, 4))[1:4])
"""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "MPO"])
def test_a_picture_can_be_resized_when_no_more_files_can_be_opened(kind: str) -> None:
    exif = Image.Exif()
    exif[resizing.ORIENTATION] = 6
    data = picture(kind, (16, 16), exif=exif).hex()
    said = subprocess.run(
        [sys.executable, "-c", OUT_OF_FILES, data], cwd=ROOT, capture_output=True, text=True
    )
    assert said.stdout == f"('{'PNG' if kind == 'PNG' else 'JPEG'}', 4, 4)\n", said.stderr


def test_transparency_survives() -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(clear, "PNG")
    assert opened(resize(clear.getvalue(), Wanted(10, 10)).data).getpixel((5, 5))[3] == 0


def test_the_samples_are_of_every_kind_that_the_demo_promises() -> None:
    assert len(SAMPLES) >= 12
    assert {Path(sample.path).suffix for sample in SAMPLES} == {".jpg", ".png"}
    assert max(wide * high for wide, high in (sample.size for sample in SAMPLES)) >= 12_000_000
    assert {"transparent", "broken"} <= {sample.oddity for sample in SAMPLES}
    assert len({sample.path for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_each_sample_can_be_drawn_and_only_the_broken_one_is_refused(
    sample: Sample, tmp_path: Path
) -> None:
    small = sample._replace(size=(sample.size[0] // 8, sample.size[1] // 8))
    (path,) = written(tmp_path, (small,))
    if sample.oddity == "broken":
        assert refusal(path.read_bytes()) == "DAMAGED"
    else:
        width, height = small.size
        result = resize(path.read_bytes(), Wanted(width // 2, 0))
        assert abs(result.height - height / 2) <= 1


def test_the_contact_sheet_shows_every_card_even_that_of_a_broken_picture(tmp_path: Path) -> None:
    small = tuple(sample._replace(size=(120, 90)) for sample in SAMPLES[-3:])
    paths = list(written(tmp_path, small))
    cards = [Card(path.name, path, path) for path in paths[:2]]
    cards.append(Card("broken", paths[2], None, "DAMAGED"))
    contact_sheet(cards, "title", "summary", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert len(sheet.convert("RGB").getcolors(sheet.width * sheet.height)) > 100


def test_a_png_taken_sideways_comes_back_upright() -> None:
    exif = Image.Exif()
    exif[resizing.ORIENTATION] = 6
    result = resize(picture("PNG", (80, 60), exif=exif), Wanted(30, 0))
    assert opened(result.data).size == (30, 40)
