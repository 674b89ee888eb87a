"""The scheduler classes that can be read: one record each."""

from collections.abc import Mapping
from typing import Final

from schedalg.interop.diffusers.classes.ddim import DDIM_SCHEDULER
from schedalg.interop.diffusers.classes.ddpm import DDPM_SCHEDULER
from schedalg.interop.diffusers.classes.deis import DEIS_MULTISTEP
from schedalg.interop.diffusers.classes.distilled import LCM_SCHEDULER, TCD_SCHEDULER
from schedalg.interop.diffusers.classes.dpm_solver import DPM_SOLVER_MULTISTEP
from schedalg.interop.diffusers.classes.edm import EDM_DPM_SOLVER_MULTISTEP, EDM_EULER
from schedalg.interop.diffusers.classes.euler import (
    EULER_ANCESTRAL_DISCRETE,
    EULER_DISCRETE,
    HEUN_DISCRETE,
    LMS_DISCRETE,
)
from schedalg.interop.diffusers.classes.flow_matching import (
    FLOW_MATCH_EULER_DISCRETE,
    FLOW_MATCH_HEUN_DISCRETE,
)
from schedalg.interop.diffusers.classes.pndm import PNDM_SCHEDULER
from schedalg.interop.diffusers.classes.unipc import UNIPC_MULTISTEP
from schedalg.interop.diffusers.record import Record

#: The record of each class, by its name in diffusers.
CLASSES: Final[Mapping[str, Record]] = {
    record.name: record
    for record in (
        DDIM_SCHEDULER,
        DDPM_SCHEDULER,
        PNDM_SCHEDULER,
        EULER_DISCRETE,
        EULER_ANCESTRAL_DISCRETE,
        HEUN_DISCRETE,
        LMS_DISCRETE,
        DPM_SOLVER_MULTISTEP,
        UNIPC_MULTISTEP,
        DEIS_MULTISTEP,
        LCM_SCHEDULER,
        TCD_SCHEDULER,
        FLOW_MATCH_EULER_DISCRETE,
        FLOW_MATCH_HEUN_DISCRETE,
        EDM_EULER,
        EDM_DPM_SOLVER_MULTISTEP,
    )
}
