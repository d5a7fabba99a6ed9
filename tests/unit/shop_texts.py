"""The texts of a small shop in a data root of its own, and a voice that whistles them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ivr import sound

ROOT = Path(__file__).parents[2]
COMMON = (ROOT / "prompts/common.yaml").read_text(encoding="utf-8")

LINE = """\
hotline: shop
constants: {name: 南山书店, within: 24小时}
texts:
  opening:      {text: "您好,{name},请问有什么可以帮您?", clauses: [EMS-1]}
  hold.ask:     {text: "可能需要您等待{minutes:count}分钟,可以吗?"}
  read_back:    {text: "您的号码是{number:digits},对吗?"}
  back:         {text: "{addressee},让您久等了。"}
  sorry:        {text: "对不起,{addressee},请您稍等。"}
  letters:      {text: "字母是{letters:letters}。"}
  promise:      {text: "我们会在{day:date}{at:time}以前给您答复。"}
  ca:           {text: "请登录CA网站。", spoken: "请登录C A网站。", rate: 0.85}
"""

DIRECTORY = """\
hotline: shop
directory:
  people:
    - {number: "8001", addressee: 王总, role: manager}
    - {number: "13900000001", addressee: 李女士}
"""


@dataclass
class Whistle:
    """A voice that whistles: as quick as none other, and as long as the words ask for."""

    name: str = "pyttsx3"
    seconds_a_sign: float = 0.2
    spoken: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda text: None

    def speak(self, text: str, voice: str, rate: float) -> sound.Sound:
        self.before(text)
        self.spoken.append(text)
        t = np.arange(round(max(1, len(text)) * self.seconds_a_sign / rate * 16_000)) / 16_000
        return sound.Sound((0.3 * np.sin(2 * np.pi * 900 * t)).astype(np.float32), 16_000)


def write_line(root: Path) -> Path:
    (root / "prompts").mkdir()
    (root / "flows/hotlines").mkdir(parents=True)
    (root / "prompts/common.yaml").write_text(COMMON, encoding="utf-8")
    (root / "prompts/shop.yaml").write_text(LINE, encoding="utf-8")
    (root / "flows/hotlines/shop.yaml").write_text(DIRECTORY, encoding="utf-8")
    return root
