// What JavaScript's Math lacks. The bounds of errors were found by comparison with mpmath; tests check them.

const { PI, abs, ceil, exp, floor, log, max, min, sin, sqrt } = Math;

// exp(-x²) to 2 ulps: x² is split, because its rounding error would be multiplied by x².
function gaussian(x) {
	x = min(abs(x), 28);
	const high = Math.fround(x);
	return exp(-high * high) * exp((high - x) * (high + x));
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
	return p / q * x * gaussian(x) / sqrt(PI);
}

// The error function, to 8 ulps: a series up to 1.5, the continued fraction beyond.
function erf(x) {
	if (!(abs(x) < 1.5)) return x > 0 ? 1 - tail(x) : x < 0 ? tail(-x) - 1 : x;
	let sum = 0;
	for (let k = 25.5; k > 1; k--) sum = 2 + x * x * sum / k;
	return sum * x * gaussian(x) / sqrt(PI);
}

// 1 - erf(x), to 32 ulps; to 128 between 1 and 1.5, where the difference cancels.
const erfc = x => x > 1.5 ? tail(x) : x < -1.5 ? 2 - tail(-x) : 1 - erf(x);

// log |Γ(x)|, to 64 ulps of max(1, the value): by Stirling's series from 12 on, by the recurrence below, reflected for x < 0.5.
function lgamma(x) {
	if (!Number.isFinite(x)) return x * x;
	if (x <= 0 && x === floor(x)) return Infinity;
	if (x === 1 || x === 2) return 0;
	if (abs(x) < 1e-300) return -log(abs(x));
	if (x < 0.5) return log(PI / abs(sine(x))) - lgamma(1 - x);
	let product = 1;
	for (; x < 12; x++) product *= x;
	const y = 1 / (x * x);
	const series = 1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * (691 / 360360 - y / 156)))));
	return (x - 0.5) * log(x) - x + 0.5 * log(2 * PI) + series / x - log(product);
}

// sin πx, exact in its zeros
function sine(x) {
	const r = x - 2 * Math.round(x / 2);
	return abs(r) > 0.5 ? sin(PI * (Math.sign(r) - r)) : sin(PI * r);
}

// The derivatives of log Γ(x) from the first, n = 0, on, to 16 ulps of the largest term: as in Python, see floats.py.
function polygamma(n, x, by = 1) {
	const sign = n % 2 ? 1 : -1;
	if (!(n >= 0 && n <= 170) || n % 1 || !(x > -Infinity)) return NaN;
	if (x <= 0 && x === floor(x)) return sign > 0 ? Infinity : x ? NaN : -1 / x;
	if (x < 0) {
		const whole = Math.round(x), beside = abs(x - whole), near = polygamma(n, beside, 1 / 8), total = near + sign * polygamma(n, 1 - beside, 1 / 8);
		const sum = total === total ? total : beside < 0.5 ? near : 0;
		return ((x > whole ? sum : sign * sum) - sign * polygamma(n, 1 - x, 1 / 8)) * 8;
	}
	const count = x > n + 12 ? 0 : ceil(n + 12 - x), y = x + count;
	let factor = (n + 1) / 2 / (y * y), series = 0;
	[1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798].forEach((b, i) => {
		const k = i + 1;
		series += b * factor;
		factor *= (2 * k + n) * (2 * k + n + 1) / ((2 * k + 1) * (2 * k + 2)) / (y * y);
	});
	series += 0.5 / y;
	let total = n ? 1 / n + series : series;
	if (count) total *= (x / y) ** n;
	for (let k = count - 1; k >= 0; k--) total += (x / (x + k)) ** n / (x + k);
	total *= by;
	for (let k = 1; k <= n; k++) total *= k / x;
	return n ? sign * total : by * log(y) - total;
}
const digamma = x => polygamma(0, x);

// x / hypot(x, y) and x / (x² + y²), scaled where squares over- or underflow.
const scale = (x, y) => max(abs(x), abs(y)) > 2 ** 510 ? 2 ** -514 : max(abs(x), abs(y)) < 2 ** -510 ? 2 ** 600 : 1;
const square = (x, y) => x * x + y * y;
const direction = (x, y, s = scale(x, y)) => x * s / sqrt(square(x * s, y * s));
const inverted = (x, y, s = scale(x, y)) => x * s / square(x * s, y * s) * s;

// c * x ** (y - n) * by, also where the power alone over- or underflows, and as if y - n were not rounded: see floats.py.
const ordinary = y => abs(y) <= 16 && y * 4 % 1 === 0;
function powerLess(n, c, x, y, by = 1) {
	const less = y - n, size = abs(x), logSize = log(size), part = !ordinary(y) && abs(less * logSize) > 650 ? 0.5 : 1;
	const took = less - y, rest = y - (less - took) - (n + took);  // what rounding took from y - n
	let out = size === 1 ? 1 : size ** (less * part);
	if (c !== c || out !== out || less !== less || x < 0 && x > -Infinity && y % 1 !== 0) return NaN;
	if (rest && out && out - out === 0) out *= 1 + rest * part * logSize;
	if (part < 1) c *= out;
	if ((x < 0 || 1 / x < 0) && y % 1 === 0 && (y % 2 === 0) !== (n % 2 === 0)) c = -c;
	const all = c * (out * by);
	return all === all || part === 1 && out && out < Infinity ? all : 0;
}

// x % y with the sign of y, and x // y, as Python has them.
function mod(x, y) {
	const r = x % y;
	return r === 0 ? (y < 0 ? -0 : 0) : r < 0 !== y < 0 ? r + y : r;
}
function floordiv(x, y) {
	const r = x % y;
	if (y === 0 || r !== r) return y === 0 ? x / y : NaN;
	const q = (x - r) / y - (r !== 0 && r < 0 !== y < 0 ? 1 : 0), low = floor(q);
	return q === 0 ? Math.sign(x / y) * 0 : q - low > 0.5 ? low + 1 : low;
}

// The nearest whole number, halves to the even one.
function roundToEven(x) {
	const low = floor(x), part = x - low;  // NaN of infinities
	return !part ? x : part < 0.5 || part === 0.5 && low % 2 === 0 ? low : ceil(x);
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
	const top = max(...xs);
	const others = xs.filter(x => x !== top);
	return top - top === 0 ? top + Math.log1p(added(others.map(x => exp(x - top))) + (xs.length - others.length - 1)) : top;
}
function length(xs) {
	const top = max(...xs.map(abs)), s = top > 2 ** 480 ? 2 ** -600 : top < 2 ** -480 ? 2 ** 600 : 1;
	return sqrt(added(xs.map(x => x * s * (x * s)))) / s;
}
