// What JavaScript's Math lacks. Errors were found by comparison with mpmath; the tests hold them.

const SQRT_PI = Math.sqrt(Math.PI);

// exp(-x²) to 2 ulps: x² is split, for its rounding would be multiplied by x².
function gaussian(x) {
	const high = Math.fround(x);
	return Math.exp(-high * high) * Math.exp((high - x) * (high + x));
}

// erfc(x) for x > 1.5, by its continued fraction.
function tail(x) {
	if (x > 28) return 0;
	let a = 0, step = 0.5, p = 1, before = 0, q = step + x * x, under = 1;
	for (let k = 0; k < 50; k++) {
		a += step;
		step += 2;
		const b = step + x * x;
		[before, p] = [p, b * p - a * before];
		[under, q] = [q, b * q - a * under];
	}
	return p / q * x * gaussian(x) / SQRT_PI;
}

// The error function, to 8 ulps: a series up to 1.5, the continued fraction beyond.
function erf(x) {
	if (!(Math.abs(x) < 1.5)) return x > 0 ? 1 - tail(x) : x < 0 ? tail(-x) - 1 : x;
	let sum = 0;
	for (let k = 25.5; k > 1; k--) sum = 2 + x * x * sum / k;
	return sum * x * gaussian(x) / SQRT_PI;
}

// 1 - erf(x), to 32 ulps; to 128 between 1 and 1.5, where the difference cancels.
const erfc = x => x > 1.5 ? tail(x) : x < -1.5 ? 2 - tail(-x) : 1 - erf(x);

// log |Γ(x)|, to 64 ulps of max(1, the value): by Stirling's series from 12 on, by the recurrence below, reflected for x < 0.5.
function lgamma(x) {
	if (!Number.isFinite(x)) return x * x;
	if (x <= 0 && x === Math.floor(x)) return Infinity;
	if (x === 1 || x === 2) return 0;
	if (x < 0.5) return Math.log(Math.PI / Math.abs(sine(x))) - lgamma(1 - x);
	let product = 1;
	for (; x < 12; x++) product *= x;
	const y = 1 / (x * x);
	const series = 1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * (691 / 360360 - y / 156)))));
	return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series / x - Math.log(product);
}

// sin πx, exact in its zeros
function sine(x) {
	const r = x - 2 * Math.round(x / 2);
	return Math.abs(r) > 0.5 ? Math.sin(Math.PI * (Math.sign(r) - r)) : Math.sin(Math.PI * r);
}

// cos πx, likewise
const cosine = x => sine(0.5 - Math.abs(x - 2 * Math.round(x / 2)));

// The derivative of log Γ(x), to 16 ulps of its largest intermediate: the recurrence, then its series; reflected for x <= 0.
function digamma(x) {
	if (x <= 0) return x === Math.floor(x) ? NaN : digamma(1 - x) - Math.PI * cosine(x) / sine(x);
	let low = 0;
	for (; x < 12; x++) low += 1 / x;
	const y = 1 / (x * x);
	const series = 1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * (691 / 32760 - y / 12)))));
	return Math.log(x) - 0.5 / x - y * series - low;
}

// x % y with the sign of y, and x // y, as Python has them.
function mod(x, y) {
	const r = x % y;
	return r === 0 ? (y < 0 ? -0 : 0) : r < 0 !== y < 0 ? r + y : r;
}
function floordiv(x, y) {
	const r = x % y;
	if (y === 0 || r !== r) return y === 0 ? x / y : NaN;
	const q = (x - r) / y - (r !== 0 && r < 0 !== y < 0 ? 1 : 0), low = Math.floor(q);
	return q === 0 ? Math.sign(x / y) * 0 : q - low > 0.5 ? low + 1 : low;
}

// To the nearest whole number, and the even one of two as near.
function roundToEven(x) {
	const low = Math.floor(x), part = x - low;
	return !Number.isFinite(x) || !part ? x : part < 0.5 || part === 0.5 && low % 2 === 0 ? low : Math.ceil(x);
}

// The values of the rows that take many operands, added from left to right as the engine adds.
function added(xs) {
	let total = -0;
	for (const x of xs) total += x;
	return total;
}
function dotted(xs) {
	const half = xs.length >> 1;
	let total = xs[2 * half];
	for (let k = 0; k < half; k++) total += xs[k] * xs[k + half];
	return total;
}
function logSumExp(xs) {
	const top = Math.max(...xs);
	return Number.isFinite(top) ? top + Math.log(added(xs.map(x => Math.exp(x - top)))) : top;
}
