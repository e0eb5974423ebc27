/** The numbers of the policy, for both of its twins: milliseconds, where a name ends in `MS`. */

/** A stamp in whole seconds lies up to this much before or after the true end. */
export const STAMP_ERROR_MS = 1_000;
/** So much if the upstream's clock differs, too: 2 s of that are not corrected. */
export const CLOCK_ERROR_MS = 3_000;
/** Stamps that differ by less mean the same window. */
export const SAME_WINDOW_MS = 1_500;
/** Two requests may be this much closer to each other at the upstream than here. */
export const JITTER_MS = 15;
/** Requests that leave within this time of each other may arrive in any order. */
export const UNORDERED_MS = 250;
/** To be earlier by less is not worth a refusal. */
export const WORTH_TRYING_MS = 100;
/** A stamp that lies further ahead is taken for garbage. */
export const FARTHEST_RESET_MS = 7 * 24 * 3_600_000;
/** A limit above this is one in name only, and a number that cannot be counted with. */
export const HIGHEST_LIMIT = 1e12;

/** Failures that an upstream forgives: the older and smaller of the numbers that Venice has named. */
export const BUDGET = 20;
/** Whatever the text of a block says. */
export const HIGHEST_BUDGET = 1_000;
/**
 * A refusal comes at once, an answer when the model has thought: who has heard nothing for so long
 * need not fear to be refused any more.
 */
export const QUIET_MS = 1_000;
/** Whoever has not settled by then never will: its process is gone. */
export const ABANDONED_MS = 60_000;
/** So long the others wait for the one that tries whether a block is over. */
export const PROBE_PATIENCE_MS = 5_000;

/** A found limit is tested again after this fraction of what is not known of its length. */
export const FOUND_STEPS = 4;
export const SHORTEST_STEP_MS = 250;
/** Of a found limit that was hit so much is kept. */
export const DECREASE = 0.9;

/** So many requests open a bucket of which nothing is known. */
export const FIRST_FEW = 3;
/** So many at once where nothing limits them: any number that can be counted with. */
export const ANY_PACE = 1e12;
/** While the length of a window is looked for without headers, nobody tries more often. */
export const SHORTEST_CLOSURE_MS = 1_000;
/** No refusals hold a bucket up for longer than this. */
export const LONGEST_CLOSURE_MS = 30_000;
/** A reset that is told to be further away is doubted: one request may try, now and then. */
export const DOUBTFUL_MS = 120_000;
export const DOUBT_EVERY_MS = 60_000;
/** When to look again without anything to wait for. */
export const IDLE_MS = 60_000;
