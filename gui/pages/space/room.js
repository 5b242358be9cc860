// What fits, and what to give for more. Pure arithmetic on what the agent tells.
//
// A backup takes `total / needed` times its size at friends, and nobody may take more of the group
// than they give. So what fits is bounded by one's own offer and by what the friends give.

const EXPANSION_UNKNOWN = 3; // the most that the group's code ever takes

/** How many bytes at friends one byte of backup takes. */
export function expansion({ needed, total }) {
  return needed ? total / needed : EXPANSION_UNKNOWN;
}

/** { fits, by: "offer" | "friends", times, used, left }: all in bytes of one's own files but `used` and `left`. */
export function room(space) {
  const times = expansion(space);
  const byOffer = Math.max(0, space.offer_bytes - space.stored_bytes);
  const byFriends = Math.max(0, space.friends_offer_bytes - space.stored_bytes);
  const left = Math.min(byOffer, byFriends);
  return { fits: left / times, by: byFriends < byOffer ? "friends" : "offer", times, used: space.stored_bytes, left };
}

const ROUND = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].map((n) => n * 1e9);

/** A proposal: { give, gain } bytes more to give, and what would fit for it. Null when friends are the limit. */
export function proposal(space) {
  const { by, times } = room(space);
  const gap = space.friends_offer_bytes - space.offer_bytes;
  if (by === "friends" || gap < ROUND[0]) return null;
  const give = ROUND.filter((size) => size <= Math.max(ROUND[0], space.offer_bytes / 2) && size <= gap).at(-1) ?? ROUND[0];
  return { give, gain: give / times };
}

/** Positions of a slider from 0 to 1000 and sizes from `least` to `most`, finer where it is small. */
export function scale(least, most) {
  const bend = 2.2;
  return {
    size: (at) => nice(least + (most - least) * (at / 1000) ** bend, least, most),
    at: (size) => Math.round(1000 * (Math.max(0, size - least) / Math.max(1, most - least)) ** (1 / bend)),
  };
}

/** A size that people would say: steps of 1, 5, 10, 50 GB, never outside of the bounds. */
function nice(size, least, most) {
  const step = [0.1, 0.5, 1, 5, 10, 50, 100].map((gb) => gb * 1e9).find((one) => size < one * 25) ?? 1e11;
  return Math.min(most, Math.max(least, Math.round(size / step) * step));
}
