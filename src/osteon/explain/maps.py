"""Where in an image the evidence for a finding lies, as the network weighs it: many methods, one call.

A map shows what the network used, not what is there: it can light up on a marker or on hardware, and that is worth
seeing too. Which methods may be shown to readers is for `osteon.explain.checks` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.errors import unknown_name
from osteon.explain import attention, cams, pixels, relevance
from osteon.explain.overlays import Heat, overlay, save_overlay
from osteon.explain.relevance import NotConserved
from osteon.learn.heads import Classifier, Network, mirrored

__all__ = ["EXPLAINERS", "Explainer", "Explanation", "Heat", "explain", "grad_cam", "overlay", "save_overlay"]


@dataclass(frozen=True)
class Explainer:
    """A method.

    Attributes:
        evidence: network in evaluation mode and images (n, 1, h, w), float in 0..1, to evidence (n, h', w'): positive
            where it speaks for the finding, negative where against. Its size may be that of the maps.
        missing: network to the reason why the method does not apply to it; "" if it does.
        signed: whether it tells what speaks against the finding, too.
        shows: what it shows, for tables and sheets.
        source: where it comes from.
    """

    evidence: Callable[[Network, Tensor], Tensor]
    missing: Callable[[Network], str]
    signed: bool
    shows: str
    source: str


EXPLAINERS: Mapping[str, Explainer] = {
    "grad-cam": Explainer(
        cams.weighted(cams.by_mean_gradient),
        cams.missing,
        signed=False,
        shows="the last feature maps, weighted by the mean gradient of the logit, positive part",
        source="Selvaraju et al., ICCV 2017, equations 1 and 2",
    ),
    "grad-cam++": Explainer(
        cams.weighted(cams.by_positive_pixels),
        cams.missing,
        signed=False,
        shows="the same with positive gradients, weighted so that several lesions count alike",
        source="Chattopadhay et al., WACV 2018, equations 10, 19, 20",
    ),
    "hires-cam": Explainer(
        cams.weighted(cams.by_place),
        cams.missing,
        signed=True,
        shows="gradient × map at each place of the last maps",
        source="Draelos and Carin 2020, arXiv 2011.08891, equation 3",
    ),
    "layer-cam": Explainer(
        cams.weighted(cams.by_positive_place),
        cams.missing,
        signed=False,
        shows="positive gradient × map at each place of the last maps",
        source="Jiang et al., TIP 2021, equations 4 to 6",
    ),
    "lrp": Explainer(
        relevance.relevance,
        relevance.missing,
        signed=True,
        shows="what each pixel adds to the logit, handed back layer by layer",
        source="Bach et al., PLoS ONE 2015; rules in osteon.explain.relevance",
    ),
    "integrated-gradients": Explainer(
        pixels.integrated_gradients,
        pixels.anything,
        signed=True,
        shows="gradient × grey value, averaged on the way from black to the image",
        source="Sundararajan et al., ICML 2017, equation 1",
    ),
    "occlusion": Explainer(
        pixels.occlusion,
        pixels.anything,
        signed=True,
        shows="by how much the logit falls when a patch is covered with the mean grey",
        source="Zeiler and Fergus, ECCV 2014, section 4.2",
    ),
    "attention-rollout": Explainer(
        attention.rollout,
        attention.missing,
        signed=False,
        shows="from which patches attention has drawn, whatever the finding",
        source="Abnar and Zuidema, ACL 2020, equation 1",
    ),
    "attention-gradient": Explainer(
        attention.weighted_by_gradient,
        attention.missing,
        signed=False,
        shows="attention × its gradient, positive part, through all blocks",
        source="Chefer et al., ICCV 2021, equations 5 and 6",
    ),
}
"""Name → method."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one method says of one image.

    Attributes:
        method: its name in EXPLAINERS.
        evidence: (h, w) float32 at the size of the image, positive for the finding and negative against, in the
            method's own unit; 0 everywhere where there is none.
        missing: why there is nothing to show; "" if there is.
    """

    method: str
    evidence: NDArray[np.float32]
    missing: str = ""

    @property
    def heat(self) -> Heat:
        """(h, w) in -1..1: the evidence, its largest magnitude set to 1."""
        largest = np.abs(self.evidence).max(initial=0)
        return np.asarray(self.evidence / largest if largest > 0 else self.evidence, np.float32)


def explain(network: Network, image: NDArray[np.uint8], method: str = "grad-cam", *, flips: bool = True) -> Explanation:
    """Evidence for the finding in one image, by one method. The network is left as it was: modes, gradients, weights.

    What a method cannot say of a network or an image is told in `missing`, never shown as a map.

    Args:
        network: any; which methods apply to it is theirs to say.
        image: (height, width) uint8, prepared as the network expects.
        method: a name in EXPLAINERS.
        flips: average the evidence with that of the mirror image, turned back, as the score averages both.

    Raises:
        UnknownName: for a method that does not exist.
    """
    if method not in EXPLAINERS:
        raise unknown_name("explainer", method, EXPLAINERS)
    explainer = EXPLAINERS[method]
    nothing = np.zeros(image.shape, np.float32)
    if why := explainer.missing(network):
        return Explanation(method, nothing, why)
    grey = torch.from_numpy(np.ascontiguousarray(image)).to(next(network.parameters()).device)[None, None].float()
    with as_found(network):
        try:
            small = _averaged(explainer, network, grey / 255.0, flips)
        except NotConserved as error:
            return Explanation(method, nothing, str(error))
    if not np.isfinite(small).all():
        return Explanation(method, nothing, "the evidence is not finite")
    if not small.any():
        return Explanation(method, nothing, "nothing in the image speaks for or against the finding")
    large = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return Explanation(method, np.asarray(large, np.float32))


def grad_cam(classifier: Classifier, image: NDArray[np.uint8], *, flips: bool = True) -> Heat:
    """Grad-CAM of the finding, (height, width) float32 in 0..1; without any evidence for the finding it is 0.

    Args:
        classifier: any trunk with feature maps.
        image: (height, width) uint8, prepared as the classifier expects.
        flips: average the map with that of the mirror image, turned back, as the score averages both.
    """
    return explain(classifier, image, "grad-cam", flips=flips).heat


def _averaged(explainer: Explainer, network: Network, grey: Tensor, flips: bool) -> NDArray[np.float32]:
    """(h', w') evidence in one image (1, 1, h, w)."""
    evidence = explainer.evidence(network, grey)
    if flips:
        evidence = (evidence + mirrored(explainer.evidence(network, mirrored(grey)))) / 2
    return np.asarray(evidence[0].detach().cpu().numpy(), np.float32)


@contextmanager
def as_found(network: Network) -> Iterator[None]:
    """Inside, the network is in evaluation mode and gradients can be had; behind, its modes are what they were."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.inference_mode(False):  # a caller in inference mode has no gradients to give
            yield
    finally:
        for module in training:
            module.training = True  # not .train(): that would also switch on what was off below
