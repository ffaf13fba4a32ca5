"""From one dataset to tenants that each have a folder of their own, as they would in a real federation."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedrec.client.guard import PrivacyPolicy, create_guard
from fedrec.client.party import create_identity, pin_roster, write_policy
from fedrec.client.store import TenantStore, create_store
from fedrec.config import SYNTHETIC, Config, DataConfig, TenantsConfig
from fedrec.config_privacy import PrivacyConfig
from fedrec.content.vectors import keep_vectors
from fedrec.data import SPLITS, Dataset, Marketplace, fetch, marketplace
from fedrec.errors import ConfigError
from fedrec.files import write_text
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster

OWN_ASSORTMENT = {"by_item_category", "by_store"}
"""Splits whose tenants sell only what has been bought from them; the others all sell the whole catalogue."""


def load_dataset(data: DataConfig, seed: int) -> Dataset:
    """The rows that a configuration names; generated rows follow from `seed`."""
    if data.dataset == SYNTHETIC:
        return marketplace(_market(data), seed)
    if data.dataset is not None:
        return fetch(data.dataset)
    assert data.path is not None  # DataConfig has checked that one of the two is given
    if data.path.is_dir():
        return Dataset.read(data.path)
    return Dataset.from_files(
        data.path,
        data.catalogue,
        data.users,
        name=data.path.stem,
        columns=data.columns,
        duplicates=data.duplicates,
        unknown_items=data.unknown_items,
    )


def _market(data: DataConfig) -> Marketplace:
    try:
        return Marketplace(**data.synthetic)  # type: ignore[arg-type]  # checked by Marketplace itself
    except TypeError as error:
        raise ConfigError(f"data.synthetic: {error}; see fedrec.data.Marketplace for what there is.") from error


def split_tenants(dataset: Dataset, tenants: TenantsConfig, seed: int) -> dict[str, Dataset]:
    """Tenant name -> rows. Raises ConfigError for an unknown split or argument."""
    if tenants.split not in SPLITS:
        raise ConfigError(f"tenants.split: no split '{tenants.split}'; known: {', '.join(SPLITS)}.")
    function = SPLITS[tenants.split]
    known = [name for name in inspect.signature(function).parameters if name != "dataset"]
    unknown = sorted(set(tenants.arguments) - set(known))
    if unknown:
        takes = ", ".join(known) or "nothing"
        raise ConfigError(f"tenants: '{tenants.split}' does not take '{unknown[0]}'; it takes: {takes}.")
    arguments = {"seed": seed} | tenants.arguments if "seed" in known else tenants.arguments
    try:
        return function(dataset, **arguments)
    except TypeError as error:
        raise ConfigError(f"tenants: {error}; '{tenants.split}' takes: {', '.join(known)}.") from error


def create_tenants(config: Config, dataset: Dataset, folder: Path) -> list[TenantStore]:
    """Split `dataset` and write each tenant's rows into its own folder below `folder`."""
    stores = []
    for name, rows in split_tenants(dataset, config.tenants, config.seed).items():
        assortment = np.zeros(rows.num_items, dtype=np.bool_)
        assortment[rows.interactions.items] = True
        own = config.tenants.split in OWN_ASSORTMENT
        stores.append(create_store(folder / name, rows, assortment if own else None))
        if config.content.images is not None:
            keep_vectors(folder / name, config.content.images, config.content.image_source)
        if config.privacy is not None:
            _create_guard(folder / name, config, config.privacy)
    return stores


def _create_guard(store: Path, config: Config, privacy: PrivacyConfig) -> None:
    """Let a tenant insist on the configuration of its run, as it would by files of its own in a real federation."""
    limits = PrivacyPolicy(
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        placement=privacy.placement,
        colluding=privacy.colluding,
        max_users=config.federation.max_users_per_tenant,
        trusts_sampling=privacy.trusted_sampling,
        evaluation="simulation",
    )
    create_guard(store, limits)
    if config.federation.secure_aggregation:
        write_policy(store, Policy(min_cohort=max(Policy().min_cohort, config.federation.min_tenants)))


def create_roster(stores: Sequence[TenantStore], path: Path) -> Roster:
    """Give each tenant an identity key, and all of them, and the server, the roster of all public keys.

    In a real federation each tenant makes its own key and the roster reaches it by a way that the server does not
    control; here one program plays all parts.
    """
    keys = [create_identity(store.folder) for store in stores]
    members = [
        Member(number, key, store.name[:64]) for number, (key, store) in enumerate(zip(keys, stores, strict=True), 1)
    ]
    roster = Roster(tuple(members))
    for store in stores:
        pin_roster(store.folder, roster)
    write_text(path, roster.to_text())
    return roster
