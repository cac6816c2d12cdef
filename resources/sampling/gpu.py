"""Graphics processors by NVML: how busy, how full; "absent" where there is none (ORC-26)."""

from __future__ import annotations

from typing import Any

from resources.core.readings import Reading

ABSENT = "absent"


class GpuSampler:
    """Asks the driver once whether there is anything to ask; without a GPU it costs nothing."""

    def __init__(self, nvml: Any = None) -> None:
        """``nvml`` is the module ``pynvml`` or what stands in for it."""
        self._nvml = nvml
        self._error: type[Exception] = OSError
        self._handles: list[Any] = []
        self.status = ABSENT
        self._start()

    def _start(self) -> None:
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
        except ImportError as error:
            self.status = f"{ABSENT}: {error}"
            return
        self._error = self._nvml.NVMLError
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        except self._error as error:
            self.status = f"{ABSENT}: {error}"
            return
        self.status = f"{count} found" if count else f"{ABSENT}: none on this machine"

    def read(self, at_ms: int) -> list[Reading]:
        """Return nothing where there is no GPU; None where one did not answer."""
        found = []
        for index, handle in enumerate(self._handles):
            busy = full = None
            try:
                busy = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                full = memory.used / memory.total
            except self._error:
                pass
            found.append(Reading(f"gpu:{index}", "gpu", busy, at_ms))
            found.append(Reading(f"gpu:{index}", "gpu_memory", full, at_ms))
        return found
