"""AlphaPose's FastPose as a torch module: the other way to write it down, to compare with.

Its tensors are named by its modules, which are those of AlphaPose's checkpoints.
"""

from __future__ import annotations

from typing import Any

from keyact.pose.alphapose.network import BLOCKS, MEAN, Architecture


def fastpose(architecture: Architecture) -> Any:
    """The untrained network: uint8 (N, H, W, 3) RGB crops to (N, K, H / 4, W / 4) maps."""
    import torch
    from torch import nn

    class Gate(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.fc = nn.Sequential(
                nn.Linear(channels, channels),
                nn.ReLU(),
                nn.Linear(channels, channels),
                nn.Sigmoid(),
            )

        def forward(self, x: Any) -> Any:
            return x * self.fc(x.mean((2, 3)))[:, :, None, None]

    class Bottleneck(nn.Module):
        def __init__(self, channels: int, width: int, stride: int, first: bool) -> None:
            super().__init__()
            out = 4 * width
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2: Any = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            if stride > 1 and architecture.unshuffle:
                halved = nn.Conv2d(4 * width, width, 3, 1, 1, bias=False)
                self.conv2 = nn.Sequential(nn.PixelUnshuffle(2), halved)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
            if first:
                self.se = Gate(out)
                self.downsample = nn.Sequential(
                    nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )
            self.first = first

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            y = torch.relu(self.bn2(self.conv2(y)))
            y = self.bn3(self.conv3(y))
            if self.first:
                return torch.relu(self.se(y) + self.downsample(x))
            return torch.relu(y + x)

    class Backbone(nn.Module):
        layer1: Any
        layer2: Any
        layer3: Any
        layer4: Any

        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.pool = nn.MaxPool2d(3, 2, 1)
            channels = 64
            for stage, count in enumerate(BLOCKS[architecture.layers]):
                width = 64 << stage
                blocks = []
                for block in range(count):
                    stride = 2 if stage and not block else 1
                    blocks.append(Bottleneck(channels, width, stride, first=not block))
                    channels = 4 * width
                self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

        def forward(self, x: Any) -> Any:
            x = self.pool(torch.relu(self.bn1(self.conv1(x))))
            return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    class Upsampling(nn.Module):
        def __init__(self, channels: int, out: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels, 4 * out, 3, 1, 1, bias=False)
            self.bn = nn.BatchNorm2d(4 * out)
            self.shuffle = nn.PixelShuffle(2)

        def forward(self, x: Any) -> Any:
            return self.shuffle(torch.relu(self.bn(self.conv(x))))

    def stage(channels: int, out: int, convolutions: int) -> Any:
        """Of FastPose_DUC."""
        parts: list[Any] = [nn.PixelShuffle(2)]
        width = channels // 4
        for i in range(convolutions):
            to = out if i == convolutions - 1 else width
            parts += [nn.Conv2d(width, to, 3, 1, 1, bias=False), nn.BatchNorm2d(to), nn.ReLU()]
        return nn.Sequential(*parts)

    class FastPose(nn.Module):
        duc3: Any

        def __init__(self) -> None:
            super().__init__()
            self.preact = Backbone()
            if architecture.duc:
                for i, count in enumerate(architecture.duc):
                    self.add_module(f"duc{i + 1}", stage(2048 >> i, 1024 >> i, count))
            else:
                self.suffle1 = nn.PixelShuffle(2)  # spelt so by AlphaPose
                self.duc1: Any = Upsampling(512, 256)
                self.duc2: Any = Upsampling(256, architecture.conv_dim)
            self.conv_out = nn.Conv2d(architecture.conv_dim, architecture.joints, 3, 1, 1)

        def forward(self, crops: Any) -> Any:
            x = crops.permute(0, 3, 1, 2).to(torch.float32) / 255
            x = x - torch.tensor(MEAN)[:, None, None]
            x = self.preact(x)
            if architecture.duc:
                return self.conv_out(self.duc3(self.duc2(self.duc1(x))))
            return self.conv_out(self.duc2(self.duc1(self.suffle1(x))))

    return FastPose().eval()
