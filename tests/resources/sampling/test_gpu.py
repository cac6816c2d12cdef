"""With a GPU, without one, and with one that does not answer."""

from types import SimpleNamespace

from resources.sampling.gpu import GpuSampler


class Refused(Exception):
    pass


class Nvml:
    """What pynvml looks like with one GPU."""

    NVMLError = Refused

    def __init__(self, *, driver=True, answers=True) -> None:
        self.driver, self.answers = driver, answers

    def nvmlInit(self):
        if not self.driver:
            raise Refused("Driver Not Loaded")

    def nvmlDeviceGetCount(self):
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUtilizationRates(self, handle):
        if not self.answers:
            raise Refused("GPU is lost")
        return SimpleNamespace(gpu=37, memory=12)

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=20, total=80)


def values(sampler):
    return {reading.key: reading.value for reading in sampler.read(0)}


def test_a_gpu_is_read_as_fractions():
    """ORC-26"""
    sampler = GpuSampler(Nvml())
    assert sampler.status == "1 found"
    assert values(sampler) == {"gpu:0.gpu": 0.37, "gpu:0.gpu_memory": 0.25}


def test_without_a_driver_it_says_absent_and_reads_nothing():
    """ORC-26"""
    sampler = GpuSampler(Nvml(driver=False))
    assert sampler.status == "absent: Driver Not Loaded"
    assert values(sampler) == {}


def test_a_gpu_that_does_not_answer_is_told_as_unknown():
    """ORC-26"""
    sampler = GpuSampler(Nvml(answers=False))
    assert values(sampler) == {"gpu:0.gpu": None, "gpu:0.gpu_memory": None}


def test_this_machine_is_read_without_an_error_whatever_it_has():
    """ORC-26"""
    sampler = GpuSampler()
    assert sampler.status.startswith("absent") or sampler.status.endswith("found")
    sampler.read(0)
