"""Terms and citations of the published data sets that have an importer.

Terms change and are read here as they stood; who uses data has to read them again where they are published.
"""

from hemoseg.datasets.sources import Source

NOMINAL_SPACING_MM = (5.0, 0.4, 0.4)
"""Spacing (z, y, x) of CT-ICH's pictures, which do not tell theirs: slices are 5 mm thick by its documentation, pixels
of 0.4 mm let a head have its size."""

INSTANCE22 = Source(
    name="INSTANCE 2022",
    license="signed agreement with the organizers; no redistribution",
    citation="X. Li et al., The state-of-the-art 3D anisotropic intracranial hemorrhage segmentation on non-contrast "
    "head CT: the INSTANCE challenge, arXiv:2301.03281 (2023); X. Li et al., Hematoma expansion context guided "
    "intracranial hemorrhage segmentation and uncertainty estimation, IEEE J. Biomed. Health Inform. 26(3):1140-1151 "
    "(2022)",
)
CT_ICH_PICTURES = Source(
    name="PhysioNet CT-ICH 1.0 to 1.2",
    license="CC BY 4.0 as stated for 1.0.0; PhysioNet restricts access to later versions",
    citation="M. Hssayeni, Computed tomography images for intracranial hemorrhage detection and segmentation, "
    "PhysioNet (2019), doi:10.13026/w8q8-ky94; M. D. Hssayeni et al., Intracranial hemorrhage segmentation using a "
    "deep convolutional model, Data 5(1):14 (2020)",
    nominal_spacing_mm=NOMINAL_SPACING_MM,
)
CT_ICH_VOLUMES = Source(
    name="PhysioNet CT-ICH 1.3.1",
    license="PhysioNet Restricted Health Data License 1.5.0",
    citation="M. Hssayeni, Computed tomography images for intracranial hemorrhage detection and segmentation "
    "(version 1.3.1), PhysioNet (2020), doi:10.13026/4nae-zg36; M. D. Hssayeni et al., Intracranial hemorrhage "
    "segmentation using a deep convolutional model, Data 5(1):14 (2020)",
)
BHSD = Source(
    name="BHSD",
    license="disputed: no derivatives and non-commercial by its repository, MIT by its download page, non-commercial "
    "by the RSNA scans that it is made of; treat it as non-commercial",
    citation="B. Wu et al., BHSD: a 3D multi-class brain hemorrhage segmentation dataset, MLMI 2023, "
    "doi:10.1007/978-3-031-45673-2_15",
)
